"""What a hostile checkpoint would have run: everything here makes one file, the canary, and nothing else."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

MODULE = """import pathlib
pathlib.Path({canary!r}).touch()
from transformers import BertConfig as C, BertModel as M, BertTokenizer as T

def generate(*args, **kwargs):
    pathlib.Path({canary!r}).touch()
"""
JINJA = {
    "globals": "{{{{ cycler.__init__.__globals__.os.system('touch {canary}') }}}}",
    "lipsum": "{{{{ lipsum.__globals__['os'].system('touch {canary}') }}}}",
    "classes": "{{% for c in ''.__class__.__mro__[1].__subclasses__() %}}"
    "{{% if c.__name__ == 'Popen' %}}{{{{ c('touch {canary}', shell=True) }}}}{{% endif %}}{{% endfor %}}",
    "filter": "{{{{ messages | attr('__class__') | attr('__mro__') }}}}",
    "format": "{{{{ '{{0.__class__.__init__.__globals__}}'.format(raise_exception) }}}}",
    "include": "{{% include '/etc/hostname' %}}",
    "import": "{{% import 'planted' as planted %}}",
    "memory": "{{{{ [0] * 10 ** 17 }}}}",
    "surrogate": "{{{{ '\\ud800' }}}}",
    "range": "{{% for i in range(10 ** 12) %}}{{% endfor %}}",
}


def module(canary: Path) -> str:
    """Python that makes the canary when it is imported, with classes that a library could use."""
    return MODULE.format(canary=str(canary))


def jinja(name: str, canary: Path) -> str:
    """A chat template that leaves its sandbox, or tries to."""
    return JINJA[name].format(canary=canary)


def pickled(canary: Path) -> bytes:
    """A pickle that makes the canary when it is loaded."""

    class Planted:
        def __reduce__(self):
            return os.system, (f"touch {canary}",)

    return pickle.dumps(Planted())
