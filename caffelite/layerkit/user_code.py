"""Code that a prototxt names: finding a class of a user's module, and telling what went wrong inside it."""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from ..data.telling import folder_of, log
from ..errors import LayerError, did_you_mean
from .base import Layer

_PACKAGE = Path(__file__).parents[1]
_INSTALLED = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
_MOST = 5
"""Lines of a user's code that are shown of one error."""

_MODULE = "python_param.module"

_beside: set[str] = set()
"""Folders in which a module was found, and which were put on Python's path for it."""


@contextmanager
def blamed(layer: Layer, what: str, field: str = "python_param.layer") -> Iterator[None]:
    """Every exception that leaves this block becomes the layer's LayerError: `what` raised it, in these lines.

    It is of the class of the exception, too, with its attributes: scripts that catch what their layers raise go on to.
    """
    try:
        yield
    except Exception as error:
        text = str(error).strip()
        message = f"{what} raised {type(error).__name__}{f': {text}' if text else ''}"
        lines = "\n        ".join(_lines(error))
        kind: Any = type(error)
        told = _both(kind)(layer.fault(message, field, lines or None))
        told.__dict__.update(vars(error) | vars(told))
        raise told from error


@cache
def _both(kind: Any) -> type[LayerError]:
    """LayerError as a class of exceptions of this kind, too, where Python can make one."""
    if issubclass(LayerError, kind) or issubclass(kind, (StopIteration, StopAsyncIteration)):
        return LayerError  # a StopIteration cannot leave a generator
    name = LayerError.__name__
    try:
        return type(name, (LayerError, kind), {"__module__": LayerError.__module__, "__str__": LayerError.__str__})
    except TypeError:  # two layouts in memory that do not fit together
        return LayerError


def _lines(error: Exception) -> list[str]:
    """Where in the user's code an exception came from: file, line, function and source, the innermost last."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if _PACKAGE not in Path(frame.filename).parents and not frame.filename.startswith(("<frozen", *_INSTALLED))
    ]
    lines = [f"{frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}" for frame in own[-_MOST:]]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f"{error.filename}:{error.lineno}: {(error.text or '').strip()}")
    return lines


def class_of(layer: Layer, module: str, name: str) -> type:
    """The class `name` of the module `module`; imports it, which runs it.

    The module is looked for on Python's path, as by the original; where it is not there, in the working directory and
    then beside the prototxt.

    Raises:
        LayerError: there is no such module or class, or the module cannot be imported.
    """
    layer.expect(bool(module), "needs a module to import: module", "python_param")
    layer.expect(bool(name), "needs the name of a class: layer", "python_param")
    layer.raise_faults()
    found = _imported(layer, module)
    cls = getattr(found, name, None)
    if isinstance(cls, type):
        return cls
    classes = [key for key, value in vars(found).items() if isinstance(value, type) and value.__module__ == module]
    help = did_you_mean(name, classes) or (f"it has {', '.join(classes)}" if classes else "it has no classes")
    where = getattr(found, "__file__", None) or ", ".join(getattr(found, "__path__", ()))
    message = f'module "{module}"{f" ({where})" if where else ""} has no class "{name}"'
    raise LayerError(layer.fault(message, "python_param.layer", help, code="CL308"))


def missing_class(layer: Layer) -> str | None:
    """Why the class that a Python layer names cannot be imported; None if it can, and then it is."""
    settings = layer.settings("python_param")
    try:
        class_of(layer, settings.module, settings.layer)
    except LayerError as error:
        return error.faults[0].message
    return None


def _imported(layer: Layer, module: str) -> ModuleType:
    folders = [str(folder.resolve()) for folder in (Path.cwd(), folder_of(layer, "python_param")) if folder is not None]
    folders = list(dict.fromkeys(folders))
    importlib.invalidate_caches()
    _refuse_namesake(layer, module, folders)
    try:
        with blamed(layer, f"importing {module}", _MODULE):
            try:
                return importlib.import_module(module)
            except ModuleNotFoundError as error:
                if not _is_missing(module, error) or not _put_on_path(module, folders):
                    raise
                return importlib.import_module(module)
    except LayerError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and _is_missing(module, cause):
            help = _where(module, folders)
            raise LayerError(layer.fault(f'there is no module "{module}"', _MODULE, help, code="CL308")) from error
        if isinstance(cause, ModuleNotFoundError) and cause.name == "caffe":
            help = f"write `import caffelite as caffe` in it: {_lines(cause)[-1]}"
            message = f"{module} imports the original Caffe"
            raise LayerError(layer.fault(message, _MODULE, help, code="CL308")) from error
        raise


def _is_missing(module: str, error: ModuleNotFoundError) -> bool:
    """Whether it is the module itself (or a package it is in) that was not found, not one that it imports."""
    return error.name is not None and f"{module}.".startswith(f"{error.name}.")


def _origin(module: str, folders: list[str]) -> str | None:
    """The file that the first part of a module's name means in one of these folders; or the folder, where that is a
    package without __init__.py, in which only another module can lie."""
    package, _, inner = module.partition(".")
    spec = PathFinder.find_spec(package, folders)
    if spec is None:
        return None
    return spec.origin or (next(iter(spec.submodule_search_locations or []), None) if inner else None)


def _put_on_path(module: str, folders: list[str]) -> bool:
    """Add the first of the folders that holds the module to Python's path: what it imports may lie there, too."""
    folder = next((folder for folder in folders if _origin(module, [folder])), None)
    if folder is None or folder in sys.path:
        return False
    sys.path.append(folder)
    _beside.add(folder)
    log.info("module %s is not on Python's path; importing it from %s", module, folder)
    return True


def _refuse_namesake(layer: Layer, module: str, folders: list[str]) -> None:
    """A module of that name that was found beside another prototxt is not the one beside this."""
    loaded = getattr(sys.modules.get(module.partition(".")[0]), "__file__", None)
    here = _origin(module, folders)
    if loaded and here and loaded != here and any(Path(folder) in Path(loaded).parents for folder in _beside):
        message = f'another module "{module.partition(".")[0]}" is loaded: {loaded}, not {here}'
        raise LayerError(layer.fault(message, _MODULE, "give one of them another name", code="CL308"))


def _where(module: str, folders: list[str]) -> str:
    if module.endswith(".py") or "/" in module:
        return f'a module is named without folder and ending: "{Path(module).stem}"'
    return f"looked on Python's path, to which PYTHONPATH adds folders, and in {' and in '.join(folders)}"
