"""The training loop: `trainer` drives `learner`, which takes the steps; `objective` is the loss, `schedule` the
learning rate, `validation` the scores on the way."""
