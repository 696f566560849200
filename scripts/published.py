"""Tables of papers that results are printed beside: orders and gaps are compared, not figures, for data, trunks and
budgets differ."""

from __future__ import annotations

COLUMNS = ("conv1", "conv2", "conv3", "conv4", "conv5")
STAGES = {
    "supervised": (19.3, 36.3, 44.2, 48.3, 50.5),
    "random": (11.6, 17.1, 16.9, 16.3, 14.1),
    "rescaled": (17.5, 23.0, 24.5, 23.2, 20.6),
    "context_prediction": (16.2, 23.3, 30.2, 31.7, 29.6),
    "context_encoder": (14.1, 20.7, 21.0, 19.8, 15.5),
    "colorization": (12.5, 24.5, 30.4, 31.5, 30.3),
    "jigsaw": (18.2, 28.8, 34.0, 33.9, 27.1),
    "bigan": (17.7, 24.5, 31.0, 29.9, 28.0),
    "split_brain": (17.7, 29.3, 35.4, 35.2, 32.8),
    "counting": (18.0, 30.6, 34.3, 32.5, 25.7),
    "rotation": (18.8, 31.7, 38.7, 38.2, 36.5),
}
"""method -> ImageNet accuracy of a linear probe on each layer of AlexNet, percent (printed with RotNet, ICLR 2018)"""

SETS = (
    "Food", "CIFAR10", "CIFAR100", "Birdsnap", "SUN397", "Cars", "Aircraft", "VOC2007", "DTD", "Pets", "Caltech-101",
    "Flowers",
)  # fmt: skip
TRANSFER = {
    ("linear", "simclr"): (76.9, 95.3, 80.2, 48.4, 65.9, 60.0, 61.2, 84.2, 78.9, 89.2, 93.9, 95.0),
    ("linear", "supervised"): (75.2, 95.7, 81.2, 56.4, 64.9, 68.8, 63.8, 83.8, 78.7, 92.3, 94.1, 94.2),
    ("tuned", "simclr"): (89.4, 98.6, 89.0, 78.2, 68.1, 92.1, 87.0, 86.6, 77.8, 92.1, 94.1, 97.6),
    ("tuned", "supervised"): (88.7, 98.3, 88.7, 77.8, 67.0, 91.4, 88.0, 86.5, 78.8, 93.2, 94.2, 98.0),
    ("tuned", "random"): (88.3, 96.0, 81.9, 77.0, 53.7, 91.3, 84.8, 69.4, 64.1, 82.7, 72.5, 92.5),
}
"""(protocol, network) -> a figure for each of SETS, percent: ResNet-50 (4x) of Chen et al., ICML 2020"""
