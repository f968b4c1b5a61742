"""A new run that begins with the weights of another one, `init_from=`; a run counts by the content of its data and of
those weights, wherever they lie."""

from torch import nn

from enhance.data.images import shortened
from enhance.data.open import with_content
from enhance.errors import CheckpointError, SettingsError
from enhance.run import checkpoint
from enhance.settings.schema import Settings


def note_contents(settings: Settings) -> None:
    """Fill in `data.content` and `init_content`, in place. Raises a `UserError` where they ask for other data or
    weights, or these are not there."""
    if settings.schedule.before is not None:
        raise SettingsError(f"schedule.before={settings.schedule.before}: a run notes it by itself; leave it out")
    settings.data = with_content(settings.data)
    if settings.init_from is None:
        if settings.init_content is not None:
            raise SettingsError(f"init_content={settings.init_content}: of which weights? Give init_from= too")
        return
    content = checkpoint.fingerprint(checkpoint.load(checkpoint.locate(settings.init_from, settings.runs)).model)
    if settings.init_content not in (None, content):
        cure = f"its weights are others, {content}; give the place of those, or leave init_content out"
        raise CheckpointError(f"init_from={settings.init_from}: {cure}")
    settings.init_content = content


def take_weights(settings: Settings, model: nn.Module) -> list[str]:
    """Give the new `model` what fits it, by name and shape, of the averaged weights of `init_from`; lines that tell
    what was taken, and name what was not. Raises `CheckpointError` where no convolution fits."""
    assert settings.init_from is not None
    path = checkpoint.locate(settings.init_from, settings.runs)
    saved, state = checkpoint.load(path), model.state_dict()
    fitting = {name: value for name, value in saved.model.items() if name in state and value.shape == state[name].shape}
    if not any(value.dim() > 1 for value in fitting.values()):
        theirs = f"model={saved.settings.model.name}, width {saved.settings.model.width}"
        raise CheckpointError(f"init_from={path}: no weights of it ({theirs}) fit this model; choose the same model=")
    model.load_state_dict(fitting, strict=False)
    lines = [
        f"init_from={path}: begins with the averaged weights (average_decay={saved.settings.average_decay:g}) of step "
        f"{saved.step}, {len(fitting)} of {len(saved.model)} tensors; the optimizer and the schedule begin anew"
    ]
    for which, names in (("left out", saved.model.keys()), ("begin anew", state.keys())):
        if others := [name for name in names if name not in fitting]:
            lines.append(f"do not fit, {which}: {len(others)} tensors: {shortened(others)}")
    return lines
