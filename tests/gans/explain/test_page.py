"""The page of a step: what is recorded is what the engine does, and the page works in a real browser."""

import json
import re
import time
from collections import Counter

import numpy as np
import pytest
from browser import Browser, needs_chromium

import minigrad as mg
from benchmarks.cases import random_batch
from gans.explain.__main__ import main, page, template
from gans.explain.record import record
from gans.trainers import TRAINERS, trainer_named
from gans.training.cli import main as train_main
from minigrad import nn
from minigrad.tensor import Tensor
from tests.gans.conftest import run_here

SMALL = {
    "dcgan": {"arch": "28"}, "lsgan": {"arch": "28"}, "softmax_gan": {"arch": "28"}, "hinge_gan": {"arch": "mlp"},
    "cyclegan": {"preset": "fast", "image_size": 32, "width": 2},
}  # fmt: skip


def small_trainer(name):
    kind = trainer_named(name)
    few = {"batch_size": 2, "backend": "numpy", **SMALL.get(name, {})}
    if "critic_steps" in kind.config_class.__dataclass_fields__:
        few["critic_steps"] = 1
    mg.manual_seed(0)
    trainer = kind(kind.config_class(**few))
    trainer.steps_per_epoch = 1
    return trainer, tuple(mg.Tensor(a) for a in random_batch(trainer, np.random.default_rng(0)))


def data_of(text):
    return json.loads(re.search(r"^const DATA = (.*);$", text, re.M)[1])


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Makes the page of a trainer, once."""
    folder, made = tmp_path_factory.mktemp("pages"), {}

    def make(name):
        if name not in made:
            made[name] = folder / f"{name}.html"
            made[name].write_text(page(*small_trainer(name), 0), "utf-8")
        return made[name]

    return make


def test_recording_changes_no_bit_and_leaves_no_trace():
    states = []
    for recorded in (False, True):
        trainer, batch = small_trainer("wgan_gp")
        record(trainer, batch) if recorded else trainer.step(*batch)
        states.append(trainer.state_dict())
        assert all("forward" not in vars(m) for network in trainer.networks().values() for m in network.modules())
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])


def test_the_recorded_gradients_are_those_that_the_optimizers_get(monkeypatch):
    trainer, batch = small_trainer("wgan_gp")
    given = {}
    for net, optimizer in (("critic", trainer.critic_optimizer), ("generator", trainer.g_optimizer)):
        names = [f"{net}.{name}" for name, _ in getattr(trainer, net).named_parameters()]
        monkeypatch.setattr(optimizer, "step", lambda grads, names=names: given.update(zip(names, grads, strict=True)))
    recorder, _ = record(trainer, batch)
    shown = {recorder.nodes[i]["name"]: g for p in recorder.passes for i, g in p["totals"].items()}
    assert given.keys() < shown.keys()
    for name, gradient in given.items():
        assert shown[name]["norm"] == pytest.approx(float(np.linalg.norm(gradient.numpy())), rel=1e-3, abs=1e-30)
        assert shown[name]["shape"] == list(gradient.shape)


def test_the_penalty_of_wgan_gp_has_a_second_order_graph_that_does_not_reach_the_biases():
    recorder, _ = record(*small_trainer("wgan_gp"))
    first, second, third = recorder.passes
    assert first["create_graph"] and not second["create_graph"]
    made = [n["id"] for n in recorder.nodes if n["order"] == 1 and "made_by" in n]
    assert len(made) == 6 and set(made) <= {turn["op"] for turn in second["turns"]}
    reached = {}
    for turn in second["turns"]:
        for send in turn["sends"]:
            to = recorder.nodes[recorder.nodes[turn["op"]]["inputs"][send["input"]]["node"]]
            if to["kind"] == "parameter":
                reached.setdefault(to["name"], set()).add(turn["op"] in made)
    assert reached["critic.1.weight"] == {True, False} and reached["critic.1.bias"] == {False}
    assert {state for name, state in third["parameters"].items() if name.startswith("critic.")} == {"skipped"}
    assert {state for name, state in second["parameters"].items() if name.startswith("generator.")} == {"never"}


def test_cuts_are_seen_and_each_fan_in_has_its_sum():
    recorder, _ = record(*small_trainer("dcgan"))
    edges = [x for n in recorder.nodes for x in n["inputs"]]
    (cut,) = [x for x in edges if x.get("edge") == "cut"]
    assert recorder.nodes[cut["node"]]["path"][0] == "generator#1"
    assert any(x.get("edge") == "no_grad" for x in edges)
    sums = 0
    for p in recorder.passes:
        so_far = {}
        for turn in p["turns"]:
            for send in turn["sends"]:
                to = recorder.nodes[turn["op"]]["inputs"][send["input"]]["node"]
                parts = so_far.setdefault(to, [])
                parts.append(send["x"]["first"][0])
                if "total" in send:
                    sums += 1
                    rounding = 6e-4 * (sum(map(abs, parts)) + abs(send["total"]["first"][0]))  # of four digits
                    assert send["total"]["first"][0] == pytest.approx(sum(parts), abs=rounding)
    assert sums >= 8  # D's parameters get gradients from real and from generated images


def test_a_trainer_that_explain_does_not_know_is_recorded_under_its_own_names():
    class Made(type(small_trainer("mnist_gan")[0])):
        """A new trainer. </script> in its docstring must not end the page's script."""

        def make_discriminator(self):
            return nn.Sequential(nn.Flatten(), nn.Linear(784, 1))

        def step(self, pictures):
            score = (self.discriminator(pictures) ** 2).mean()
            self.d_optimizer.step(mg.grad(score, self.discriminator.parameters()))
            return {"score": score}

    trainer = Made(Made.config_class(batch_size=2, backend="numpy"))
    text = page(trainer, (Tensor(np.ones((2, 1, 28, 28), np.float32)),), 4)
    data = data_of(text)
    assert text.count("</script>") == template().count("</script>") and "</script>" in data["title"]
    assert {n["name"] for n in data["nodes"] if n.get("name")} == {
        "pictures",
        "score",
        "discriminator.1.weight",
        "discriminator.1.bias",
    }
    assert (
        data["ops"]["Linear"]["forward"].startswith("def forward(self, x")
        and "return g" not in data["ops"]["Linear"]["forward"]
    )
    assert "def backward_weight" in data["ops"]["Linear"]["backward"]["backward_weight"]


def test_each_call_of_a_captured_step_has_at_most_one_op_or_backward(pages):
    data = data_of(pages("mnist_gan").read_text("utf-8"))
    owners = [range(*n["calls"]) for n in data["nodes"] if "calls" in n]
    owners += [range(*send["calls"]) for p in data["passes"] for turn in p["turns"] for send in turn["sends"]]
    numbers = [i for owner in owners for i in owner]
    assert len(numbers) == len(set(numbers)) and 0 < len(numbers) < len(data["calls"])
    between = [call for i, call in enumerate(data["calls"]) if i not in set(numbers)]
    assert sum("adam" in call for call in data["calls"]) == sum("adam" in call for call in between) >= 10


def test_the_command_writes_a_page_of_a_run_without_touching_it(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ("--data", digits, "--batch-size", 16, "--steps", 3, "--out", tmp_path / "run")
    assert run_here(lambda argv: train_main(trainer_named("mnist_gan"), argv), run).code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    ended = run_here(main, ("mnist_gan", "--run", tmp_path / "run"))
    assert ended.code == 0 and "step 4 of mnist_gan" in ended.out
    data = data_of((tmp_path / "mnist_gan.html").read_text("utf-8"))
    assert data["about"] == "step 4, 8 images (the run: 16)"
    saved = mg.load(tmp_path / "run" / "checkpoint.safetensors")["discriminator.1.weight"]
    (first, *_) = [n for n in data["nodes"] if n.get("name") == "discriminator.1.weight"]
    assert first["value"]["norm"] == pytest.approx(float(np.linalg.norm(saved)), rel=1e-3)
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert "not of gans.dcgan" in run_here(main, ("dcgan", "--run", tmp_path / "run")).complaint
    assert run_here(main, ("unknown",)).code == 2


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--checkpoint", 3), "--checkpoint goes back to an earlier step of a run: give --run DIR too"),
        (("--resume",), "--resume has no effect on the page of one step"),
        (("--backend", "cupy"), "--backend has no effect on the page of one step"),
        (("--run", "run", "--seed", 5), "--seed would give another step than the run's"),
        (("--run", "run", "--data", "synthetic"), "other images, from"),
    ],
)
def test_flags_that_would_be_ignored_or_show_another_step_are_refused(flags, sentence, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ("--data", digits, "--batch-size", 16, "--steps", 1, "--out", tmp_path / "run")
    if "--run" in flags:
        assert run_here(lambda argv: train_main(trainer_named("mnist_gan"), argv), run).code == 0
    assert sentence in run_here(main, ("mnist_gan", *flags)).complaint
    assert not (tmp_path / "mnist_gan.html").exists()


def test_inputs_that_no_op_made_say_what_they_are():
    named = {name: [n.get("name") for n in record(*small_trainer(name))[0].nodes] for name in ("wgan_gp", "ssgan")}
    assert named["wgan_gp"].count("noise from N(0, 1)") == 2  # one for the critic's step, one for the generator's
    assert named["wgan_gp"].count("noise from U(0, 1)") == named["wgan_gp"].count("seed of the backward: dL/dL = 1") == 1
    assert named["ssgan"].count("constant of Dropout2d") + named["ssgan"].count("constant of Dropout") >= 3  # masks


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def pressed(browser, key, expression):
    browser.press(key)
    browser.wait(f"!!({expression})", 10)


@needs_chromium
@pytest.mark.parametrize("name", TRAINERS)
def test_the_page_of_every_trainer_opens_quickly_and_shows_every_pass_and_level(name, pages, browser):
    url = pages(name).as_uri()
    browser.errors.clear()
    began = time.monotonic()
    browser.open(url)
    browser.wait("document.readyState === 'complete' && document.querySelectorAll('#graph .box').length > 3")
    assert time.monotonic() - began < 10  # on a busy machine; on an idle one it takes a fraction of a second
    assert browser.value("state.zoom >= READABLE && ['networks', 'layers'].includes(state.level)")
    for i in range(browser.value("passes.length") + 1):
        pressed(browser, str(i + 1), f"state.view === {i - 1}")
        for _ in range(3):
            browser.press("f")
        assert browser.value("document.querySelectorAll('#graph .edge.back').length > 0") == (i > 0)
    assert browser.value("document.querySelectorAll('#sections a[href], script[src], link, img[src^=http]').length") == 0
    labelled = "e => e.textContent.trim() || e.getAttribute('aria-label') || e.getAttribute('alt')"
    assert browser.value(f"[...document.querySelectorAll('button, input, #graph .box, svg[role=img], img')].every({labelled})")
    assert browser.errors == []


@needs_chromium
def test_every_switch_and_key_of_the_page_works(pages, browser):
    browser.errors.clear()
    browser.open(pages("wgan_gp").as_uri())
    browser.wait("document.readyState === 'complete' && state.level === 'networks'")
    pressed(browser, "f", "state.level === 'layers' && document.querySelector('#levels [aria-pressed=true]')")
    pressed(
        browser, "3", "state.view === 1 && document.querySelector('#views [aria-pressed=true]').textContent.includes('critic')"
    )
    pressed(browser, "ArrowRight", "state.turn === 0 && document.querySelector('#graph .box.current')")
    assert browser.value("get('panel').textContent.includes('Turn 1 of') && get('panel').textContent.includes('the seed of')")
    pressed(browser, "End", "state.turn === passes[1].turns.length - 1")
    pressed(browser, "ArrowLeft", "state.turn === passes[1].turns.length - 2")
    pressed(browser, "Home", "state.turn === -1")
    zoom = browser.value("state.zoom")
    pressed(browser, "+", f"state.zoom > {zoom}")
    pressed(browser, "-", f"Math.abs(state.zoom - {zoom}) < 1e-9")
    assert browser.value("fitted() < READABLE")
    pressed(browser, "0", "state.zoom === READABLE && get('graph').firstChild.width.baseVal.value > get('graph').clientWidth")
    dark = browser.value("document.documentElement.classList.contains('dark')")
    pressed(browser, "t", f"document.documentElement.classList.contains('dark') !== {str(dark).lower()}")

    pressed(browser, "/", "document.activeElement === get('search')")
    for letter in "critic.1.weight":
        browser.press(letter)
    browser.wait("get('found').children.length > 0 && !!document.querySelector('#graph .box.match')")
    pressed(browser, "Enter", "nodes[state.selected].name === 'critic.1.weight'")
    assert browser.value("document.querySelectorAll('#graph .edge.route').length") > 3
    assert browser.value("get('panel').textContent.includes('The sum of 2 contributions')")
    pressed(browser, "Escape", "state.selected === null && get('search').value === ''")
    browser.press("/")
    for letter in "zzz":
        browser.press(letter)
    browser.wait("get('found').textContent === 'Nothing found.' && get('status').textContent === '0 found'")
    browser.press("Enter")
    pressed(browser, "Escape", "get('found').textContent === ''")

    browser.value("fold('networks'); document.querySelector('#graph .box.folded').focus()")
    pressed(browser, "Enter", "typeof state.selected === 'string' && get('panel').textContent.includes('Ops inside')")
    folded = browser.value("boxes.size")
    pressed(browser, "Enter", f"boxes.size > {folded} && document.activeElement.matches('.box')")

    for button in ("first", "next", "back", "last", "in", "out", "fit", "theme"):
        browser.value(f"get('{button}').click()")
    browser.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.wait("!!document.querySelector('ol.calls li button')")
    browser.value("document.querySelector('ol.calls li button').click()")
    assert browser.value("document.querySelectorAll('#sections td button').length") > 10
    for i in range(browser.value("nodes.length")):  # the details of every node
        browser.value(f"go({i})")
    for i in range(3):
        browser.value(f"show({i}); for (let t = 0; t < order().length; t++) step(t)")
    assert browser.errors == []


def opened(browser, page_path, expression="true"):
    """Open a page, and return the value of an expression."""
    browser.errors.clear()
    browser.open(page_path.as_uri())
    browser.wait("document.readyState === 'complete' && document.querySelectorAll('#graph .box').length > 0")
    return browser.value(expression)


def shown(browser, p, name):
    """The text of the panel for a parameter's gradient in a backward pass."""
    return browser.value(f"show({p}); go(gradientOf({p}, '{name}')[0]); get('panel').textContent")


class Dead(trainer_named("mnist_gan")):
    """A discriminator whose ReLU is 0 everywhere."""

    def make_discriminator(self):
        D = nn.Sequential(nn.Flatten(), nn.Linear(784, 3), nn.ReLU(), nn.Linear(3, 1))
        D.parameters()[1].assign(np.full(3, -1000, np.float32))
        return D


@needs_chromium
def test_a_gradient_of_exactly_zero_says_where_it_became_zero(pages, browser, tmp_path):
    opened(browser, pages("wgan"))
    assert "Exactly zero: the 2 shares that arrive from its consumers sum to zero." in shown(browser, 0, "critic.5.bias")
    assert "Exactly zero" not in shown(browser, 0, "critic.5.weight")
    opened(browser, pages("wgan_gp"))
    assert re.search(
        r"arrives at Linear in critic.5 \(call 1\) has norm [\d.]+, its 4 elements sum to zero, "
        "and what this op sends to its input bias is zero",
        shown(browser, 1, "critic.5.bias"),
    )
    mg.manual_seed(0)
    trainer = Dead(Dead.config_class(batch_size=2, backend="numpy"))
    path = tmp_path / "dead.html"
    path.write_text(page(trainer, (Tensor(np.ones((2, 1, 28, 28), np.float32)),), 0), "utf-8")
    opened(browser, path)
    stopped = r"the cotangent that arrives at LeakyReLU in discriminator.2 .* what this op sends to its input x is zero"
    for name in ("discriminator.1.weight", "discriminator.1.bias"):
        assert re.search(stopped, shown(browser, 0, name))
    zero = "Object.entries(grads).filter(([, { g, parts }]) => g?.norm === 0 && parts.length)"
    origins = f"passes.flatMap(({{ grads }}, p) => {zero}.map(([id]) => zeroOrigins(p, Number(id)).length))"
    assert browser.value(f"{origins}.length > 2 && {origins}.every(n => n > 0)")
    assert browser.errors == []


@needs_chromium
def test_contributions_stand_above_their_sum_and_add_up_to_it(pages, browser):
    opened(browser, pages("wgan"))
    shown(browser, 0, "critic.3.bias")
    rows = "[...document.querySelectorAll('#panel .addition tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    *parts, total = ([float(x) for x in row if re.match(r"-?\d", x)] for row in browser.value(rows)[1::2])
    assert len(parts) == 2 and len(total) == 4 and any(total)
    assert np.allclose(np.sum(parts, axis=0), total, rtol=0, atol=1e-3 * np.abs(parts).max())
    turn = "passes[0].turns.findIndex(turn => turn.sends.some(send => send.total))"
    text = browser.value(f"step({turn}); get('panel').textContent")
    assert "Another consumer has sent before" in text and "so far" in text and "from this op" in text


@needs_chromium
def test_calls_are_counted_by_kind(pages, browser):
    counts = opened(browser, pages("wgan"), "calls()[1].textContent")
    calls = data_of(pages("wgan").read_text("utf-8"))["calls"]
    kinds = Counter("on the host" if call.startswith("on the host") else call.split("  ")[0] for call in calls)
    start, _, rest = counts.removesuffix(".").partition(": ")
    assert start == f"{len(calls)} calls"
    assert {kind: int(n) for n, _, kind in (part.partition(" ") for part in rest.split(", "))} == kinds


@needs_chromium
def test_the_page_explains_its_metrics_its_signs_and_what_is_smaller_than_in_a_run(pages, browser, tmp_path):
    trainer, batch = small_trainer("wgan_gp")
    path = tmp_path / "page.html"
    path.write_text(page(trainer, batch, 6, {"critic_steps": 5}), "utf-8")
    about = opened(browser, path, "get('about').textContent")
    assert about.endswith("Here: step 7, 2 images, 1 critic step (the run: 5).")
    text = browser.value("get('panel').textContent")
    assert all(caption in text for caption in trainer.captions.values())
    signs = "[...document.querySelectorAll('#legend .sign')].map(s => s.firstChild.getAttribute('class')).join()"
    found = browser.value(signs)
    used = {x["edge"] for n in data_of(path.read_text("utf-8"))["nodes"] for x in n["inputs"] if "edge" in x}
    assert {"flow", "fixed", "flat", "cut", "no_grad"} == used
    assert all(f"edge {kind}" in found for kind in (*used, "back route"))
    assert all(kind in found for kind in ("made", "ungraphed", "chip asked", "chip skipped"))


@needs_chromium
def test_the_page_is_usable_with_the_keyboard_alone(pages, browser):
    opened(browser, pages("wgan_gp"))
    focused = "document.activeElement.getAttribute('data-key')"
    assert browser.value("document.querySelectorAll('#graph .box[tabindex=\"0\"]').length") == 1
    browser.value("document.querySelector('#graph .box[tabindex=\"0\"]').focus()")
    keys = browser.value("[...boxes.keys()]")
    pressed(browser, "ArrowDown", f"{focused} === '{keys[1]}'")
    pressed(browser, "ArrowDown", f"{focused} === '{keys[2]}'")
    pressed(browser, "ArrowUp", f"{focused} === '{keys[1]}'")
    pressed(browser, "Enter", f"isSelected(boxes.get('{keys[1]}')) && document.activeElement.tabIndex === 0")
    assert browser.value(f"document.querySelector('#graph [aria-pressed=true]').dataset.key === '{keys[1]}'")
    assert browser.value(f"get('status').textContent === titleOf(boxes.get('{keys[1]}').nodes.at(-1))")
    pressed(browser, "2", "state.view === 0 && document.activeElement === get('graph')")  # the focus stays in the graph
    browser.value("go(nodes.find(n => n.op === 'Linear').id); document.querySelector('#panel button.link').focus()")
    browser.value("document.activeElement.click()")
    assert browser.value("document.activeElement === get('panel')")
    browser.value("document.querySelector('#views button').focus(); document.activeElement.click()")
    assert browser.value("document.activeElement.textContent === 'forward' && state.view === -1")
    browser.press("ArrowRight")
    browser.wait("get('status').textContent.startsWith('1 of ')")
    assert browser.errors == []


class Forward(trainer_named("mnist_gan")):
    """A step without a backward."""

    def step(self, real):
        return {"score": self.discriminator(real).mean()}


class ThirdOrder(trainer_named("mnist_gan")):
    """A step that differentiates three times, and with respect to a leaf that no network sees."""

    def step(self, real):
        x = Tensor(real.data, requires_grad=True)
        (g,) = mg.grad((x**4).sum(), [x], create_graph=True)
        (h,) = mg.grad(g.sum(), [x], create_graph=True)
        mg.grad(h.sum(), [x])
        return {"h": h.sum()}


@needs_chromium
@pytest.mark.parametrize(
    ("kind", "value", "views"),
    [
        (Forward, 1, ["forward"]),
        (ThirdOrder, 1, ["forward", "backward 1: to leaf", "backward 2: to leaf", "backward 3: to leaf"]),
        (trainer_named("mnist_gan"), np.nan, ["forward", "backward 1: to discriminator", "backward 2: to generator"]),
    ],
)
def test_the_page_of_an_unusual_step_opens_and_shows_everything(kind, value, views, browser, tmp_path):
    trainer, path = kind(kind.config_class(batch_size=2, backend="numpy")), tmp_path / "page.html"
    path.write_text(page(trainer, (Tensor(np.full((2, 1, 28, 28), value, np.float32)),), 0), "utf-8")
    opened(browser, path)
    assert browser.value("[...get('views').children].map(button => button.textContent)") == views
    browser.value(
        "for (let i = -1; i < passes.length; i++) { show(i); for (const n of nodes) go(n.id); step(0); step(Infinity); }"
    )
    browser.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.wait("document.querySelectorAll('ol.calls li').length === DATA.calls.length")
    assert browser.value("document.querySelectorAll('#sections .bars').length") == (2 if np.isnan(value) else 0)
    texts = [browser.value(f"show({i}); clear(); get('panel').textContent") for i in range(-1, len(views) - 1)]
    assert ("The first value with NaN or infinity is that of real." in texts[0]) == np.isnan(value)
    assert any("The first cotangent with NaN or infinity is that of" in text for text in texts) == np.isnan(value)
    assert browser.errors == []


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off_at_the_side_of_the_page(width, pages, browser):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.open(pages("dcgan").as_uri())
    browser.wait("document.readyState === 'complete' && document.querySelectorAll('#graph .box').length > 3")
    assert browser.value("document.documentElement.scrollWidth") <= width
