"""Augmentation: what it draws, and that source and target move together."""

import pytest
import torch

from reference.augmentation import Augmentation, augment, crop

VARIATIONS = [{}, {"mixup": 1.0}, {"cutmix": 1.0}, {"gain": 0.3}, {"mixup": 0.5, "cutmix": 0.5, "gain": 0.1}]


@pytest.mark.parametrize("changes", VARIATIONS)
def test_source_and_target_move_together(changes):
    source = torch.rand(8, 3, 32, 32) / 2
    images = augment(torch.cat([source, source], 1), Augmentation(**changes))
    assert images.shape == (8, 6, 32, 32)
    assert torch.equal(images[:, :3], images[:, 3:])
    assert not torch.equal(images[:, :3], source)
    assert images.min() >= 0
    assert images.max() <= 1


def test_nothing_changes_where_nothing_is_asked_for():
    images = torch.rand(4, 6, 16, 16)
    assert torch.equal(augment(images, Augmentation(dihedral=False)), images)


def test_dihedral_makes_all_eight_views():
    images = torch.rand(1, 6, 6, 6).repeat(200, 1, 1, 1)
    turned = augment(images, Augmentation())
    views = {tuple(image.flatten().tolist()) for image in turned}
    base = images[0]
    expected = [torch.rot90(b, k, (1, 2)) for b in (base, base.flip(2)) for k in range(4)]
    assert views == {tuple(view.flatten().tolist()) for view in expected}


def test_crop_is_a_window_of_its_image():
    images = torch.arange(3 * 6 * 20 * 24.0).reshape(3, 6, 20, 24)
    cut = crop(images, 8)
    assert cut.shape == (3, 6, 8, 8)
    for image, window in zip(images, cut, strict=True):
        found = [
            torch.equal(image[:, top : top + 8, left : left + 8], window) for top in range(13) for left in range(17)
        ]
        assert sum(found) == 1
