"""The playground: orders, snapshots, other sites' requests, and the page in a real browser."""

import json
import math
import random
import socket
import struct
import threading
import time
import urllib.error
import urllib.request

import pytest
from browser import Browser, needs_chromium

from gans.toy import serve
from gans.training.config import ConfigError


@pytest.fixture(scope="module")
def url():
    server = serve.start(0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def get(url, **headers):
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read()


def post(url, body, **headers):
    return urllib.request.urlopen(urllib.request.Request(url + "/order", body, headers)).read()


def refused(call, *arguments, **headers):
    with pytest.raises(urllib.error.HTTPError) as caught:
        call(*arguments, **headers)
    return caught.value.code, caught.value.read().decode()


def until(url, holds):
    for _ in range(3_000):
        state = json.loads(get(url + "/state"))
        if "step" in state and holds(state):
            return state
    raise AssertionError(state)


def test_an_order_to_make_one_step_makes_one_step(url):
    post(url, b'{"restart": true, "running": false, "data": "ring", "loss": "hinge"}')
    until(url, lambda state: state["step"] == 0 and state["loss"] == "hinge")
    post(url, b'{"once": true}')
    state = until(url, lambda state: state["step"] > 0)
    assert state["step"] == 1 and len(state["losses"]) == 1 and not state["running"]


def test_it_trains_while_it_runs_and_then_stops(url):
    post(url, b'{"restart": true, "running": true, "per_frame": 2}')
    until(url, lambda state: 4 <= state["step"] < 1_000)
    post(url, b'{"running": false}')
    state = until(url, lambda state: not state["running"])
    post(url, b'{"d_lr": 0.002}')
    assert until(url, lambda state: state["d_lr"] == 0.002)["step"] == state["step"]


def test_each_network_has_its_learning_rate():
    playground = serve.Playground()
    playground.restart()
    nets = playground.toy.discriminator, playground.toy.generator
    before = [[p.numpy().copy() for p in net.parameters()] for net in nets]
    playground.orders.put({"d_lr": 1e-2, "g_lr": 1e-4, "once": True})
    playground.turn()
    moved = [
        max(float(abs(p.numpy() - old).max()) for p, old in zip(net.parameters(), olds, strict=True))
        for net, olds in zip(nets, before, strict=True)
    ]
    assert moved == pytest.approx([1e-2, 1e-4], rel=0.05)  # Adam's first step


def test_training_waits_when_no_page_asks(url, monkeypatch):
    monkeypatch.setattr(serve, "PATIENCE", 0.2)
    post(url, b'{"restart": true, "running": true, "data": "ring", "loss": "gan", "per_frame": 1}')
    until(url, lambda state: state["step"] > 2)
    time.sleep(0.5)
    before = json.loads(get(url + "/state"))["step"]
    time.sleep(0.5)
    after = json.loads(get(url + "/state"))["step"]
    assert after - before <= 6, "at most the frames of 0.2 seconds"
    until(url, lambda state: state["step"] > after)  # and goes on when one does


def test_a_page_that_closes_while_it_is_answered_is_no_error(url, capfd):
    host, _, port = url.removeprefix("http://").partition(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close resets
            connection.sendall(f"GET /state HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    get(url + "/state")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("data", serve.DISTRIBUTIONS)
def test_a_snapshot_of_every_distribution_has_what_the_page_draws(url, data):
    post(url, json.dumps({"data": data, "running": False, "restart": True}).encode())
    state = until(url, lambda state: state["data"] == data)
    names = {"x", "p", "q", "d", "best"} if data == "mixture" else {"field", "real"}
    assert names | {"side", "fake", "arrows", "losses"} <= state.keys()
    assert len(state.get("field", range(serve.SIDE**2))) == serve.SIDE**2


def test_data_whose_clusters_are_dragged_is_what_is_learned(url):
    post(url, b'{"data": "mixture", "restart": true, "centres": [[0.0], [1.0]]}')
    post(url, b'{"centres": [[0.0], [1.0]]}')
    assert until(url, lambda state: state["centres"] == [[0.0], [1.0]])["p"][200] > 0.3


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[1]", b'{"d_lr": 7}', b'{"d_lr": "x"}', b'{"g_lr": NaN}', b'{"loss": "x"}', b'{"per_frame": 2.5}',
        b'{"quit": true}',
        b'{"centres": [[1e999, 0]]}', b'{"centres": [["a"]]}', b'{"data": {}}', b"[" * 5_000, b'{"data": []}',
        b'{"centres": [[1], [1, 2]]}', b'{"centres": [[1' + b"0" * 400 + b"]]}",
    ],
)  # fmt: skip
def test_what_is_no_order_is_refused_in_a_sentence(url, body):
    status, sentence = refused(post, url, body)
    assert status == 400 and sentence and "Traceback" not in sentence


VALUES = [
    None, True, 0, 1, 2, 100, 10**400, -1e400, float("nan"), 1e-6, "", "\ud800", [], [[]], [[1]], [[1], [1, 2]],
    [[1.0, 2.0]] * 8, [[10**400, 1]], {}, {"a": 1}, *serve.DISTRIBUTIONS, *serve.LOSSES,
]  # fmt: skip
NAMES = ["data", "loss", "d_lr", "g_lr", "per_frame", "running", "once", "restart", "centres", "\ud800"]


@pytest.mark.parametrize("cases", [12, pytest.param(1000, marks=pytest.mark.long)])
def test_no_order_ends_the_playground(cases):
    draw = random.Random(0)
    playground = serve.Playground()
    playground.asked = math.inf  # as if a page always looked
    playground.restart()
    obeyed = refused = 0
    while obeyed < cases:
        order = {draw.choice(NAMES): draw.choice(VALUES) for _ in range(draw.choice([1, 1, 2]))}
        if refused > 20 * obeyed:
            order = {"loss": draw.choice(list(serve.LOSSES)), "d_lr": draw.choice([1, 1e-6]), "once": True}
        try:
            playground.orders.put(serve.checked(json.dumps(order).encode()))
        except (ValueError, RecursionError):
            refused += 1
            continue
        playground.turn()
        json.loads(playground.snapshot)
        obeyed += 1
    assert refused


def test_a_training_that_diverges_stops_and_says_so():
    playground = serve.Playground()
    playground.asked = math.inf
    playground.restart()
    playground.orders.put({"loss": "reverse-kl", "d_lr": 1.0, "g_lr": 1.0, "per_frame": 100, "running": True})
    for _ in range(100):
        playground.turn()
        if playground.message:
            break
    state = json.loads(playground.snapshot)
    assert "choose a smaller learning rate" in state["message"] and not state["running"]
    playground.orders.put({"restart": True, "d_lr": 1e-3})
    playground.turn()
    state = json.loads(playground.snapshot)
    assert state["step"] == 0 and not state["message"]


def test_pages_of_other_sites_are_refused(url):
    assert refused(get, url + "/state", Host="evil.example:80")[0] == 403
    assert refused(post, url, b"{}", Origin="http://evil.example")[0] == 403
    assert refused(get, url + "/other")[0] == 404


def test_a_port_that_is_taken_is_a_sentence(url):
    with pytest.raises(ConfigError, match="cannot listen on port"):
        serve.start(int(url.rpartition(":")[2]))


@needs_chromium
@pytest.mark.clock
@pytest.mark.parametrize(("data", "loss"), [("ring", "gan"), ("grid", "wgan-gp"), ("mixture", "r3gan")])
def test_the_page_draws_ten_frames_a_second(data, loss, url, tmp_path):
    post(url, json.dumps({"data": data, "loss": loss, "per_frame": 100, "restart": True, "running": True}).encode())
    with Browser(tmp_path) as browser:
        browser.open(url)
        browser.wait("state && state.step > 20")
        time.sleep(3)
        assert browser.value("rate") >= 10


@needs_chromium
def test_the_page_draws_and_obeys_its_keys_and_the_mouse(url, tmp_path):
    post(url, b'{"data": "ring", "loss": "gan", "running": false, "restart": true}')
    until(url, lambda state: state["data"] == "ring" and state["step"] == 0)
    with Browser(tmp_path) as browser:
        browser.open(url)
        browser.wait("document.getElementById('status').textContent.startsWith('step 0')")
        browser.press("s")
        browser.wait("document.getElementById('status').textContent.startsWith('step 1;')")
        browser.press(" ")
        browser.wait("state.step > 20 && document.getElementById('run').textContent === 'pause'")
        browser.press(" ")
        browser.wait("!state.running")
        box = browser.value("plane.getBoundingClientRect().toJSON()")
        x, y = browser.value("state.centres[0].map(v => v / state.side)")
        at = box["left"] + (x + 1) / 2 * box["width"], box["top"] + (1 - y) / 2 * box["height"]
        browser.drag(at, (at[0], at[1] - 60))
        browser.wait("state.centres[0][1] > 0.1")
        colours = browser.value("new Set(plane.getContext('2d').getImageData(0, 0, plane.width, plane.height).data).size")
        assert colours > 50  # the field and the points are there
        assert browser.errors == []
