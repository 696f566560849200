"""The slow copy: what it begins as, how it follows, that it learns nothing."""

from __future__ import annotations

import torch
from torch import nn

from avssl.nn.teacher import Teacher


def test_it_begins_as_the_student_and_gives_no_gradient():
    student = nn.Linear(3, 2)
    teacher = Teacher(student, 0.9)
    x = torch.randn(4, 3)
    assert torch.equal(teacher(x), student(x))
    assert not teacher(x).requires_grad
    assert student(x).requires_grad, "the student itself still learns"


def test_it_is_the_moving_average_of_the_student():
    student = nn.Linear(1, 1, bias=False)
    student.weight.data.fill_(1.0)
    teacher = Teacher(student, 0.75)
    expected = 1.0
    for value in (3.0, -1.0, 2.0):
        student.weight.data.fill_(value)
        teacher.follow(student)
        expected = 0.75 * expected + 0.25 * value
        assert teacher.copy.weight.item() == expected


def test_what_a_network_counts_is_taken_over():
    student = nn.BatchNorm1d(2)
    teacher = Teacher(student, 0.9)
    student(torch.randn(5, 2) + 4)
    teacher.follow(student)
    assert torch.equal(teacher.copy.running_mean, student.running_mean)
    assert teacher.copy.num_batches_tracked == 1
