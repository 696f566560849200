"""What an encoder has learnt, told by labels it was not trained on: one evaluator per file.

A label set is :class:`~avssl.probe.examples.Examples`; :mod:`~avssl.probe.rounds` cuts it into what is fitted on, what
chooses and what judges. Test examples choose nothing.
"""
