"""The training loop: `trainer` drives `learner`, which takes the steps; `loss` is what they minimize, `schedule` the
learning rate, `validation` the scores on the way."""
