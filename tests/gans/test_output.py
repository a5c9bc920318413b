"""Image files; what their metadata say is tested with `gans.generate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gans.output import save_image
from minigrad import FileError


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_an_image_with_a_side_that_the_format_has_no_room_for_is_refused_in_one_sentence(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="70000 x 1 pixels") as caught:
        save_image(tmp_path / f"a{suffix}", np.zeros((1, 70_000, 3), np.uint8))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
