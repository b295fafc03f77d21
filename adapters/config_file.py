"""Reads a configuration file; what is wrong with its content is core/config.py's business."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import Config, ConfigError, parse_config


def load_config(path: Path, overrides: Mapping[str, Any]) -> Config:
    """The checked configuration; ``overrides`` maps dotted keys to values, None = leave the file's. Raises ConfigError, one line."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    return parse_config(text, str(path), {key: value for key, value in overrides.items() if value is not None})
