"""A client of the yaml-language-server, as an editor is one."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

COMMAND = "HFSPEC_YAML_LANGUAGE_SERVER"  # the path of the server's script
ANSWER = 60  # seconds


def missing() -> str:
    """Why there is no server here; empty where there is one."""
    if os.environ.get(COMMAND) or shutil.which("yaml-language-server"):
        return "" if shutil.which("node") else "node is not installed"
    return f"yaml-language-server is not installed: npm install yaml-language-server, and its path in {COMMAND}"


class LanguageServer:
    """A running server. Close it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = os.environ.get(COMMAND) or str(shutil.which("yaml-language-server"))
        self._process = subprocess.Popen(
            [command, "--stdio"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._read: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = Thread(target=self._receive, daemon=True)
        self._reader.start()
        self._number = 0
        self.ask(
            "initialize", {"processId": os.getpid(), "rootUri": folder.as_uri(), "capabilities": {
                "textDocument": {"completion": {"completionItem": {"snippetSupport": False}}}}}
        )  # fmt: skip
        self._send({"method": "initialized", "params": {}})

    def diagnostics(self, file: Path) -> list[dict[str, Any]]:
        """Open a file, and wait for what the server finds wrong with it."""
        opened = {"uri": file.as_uri(), "languageId": "yaml", "version": 1, "text": file.read_text()}
        self._send({"method": "textDocument/didOpen", "params": {"textDocument": opened}})
        found = self._wait(lambda message: message.get("method") == "textDocument/publishDiagnostics"
                           and message["params"]["uri"] == file.as_uri())  # fmt: skip
        return found["params"]["diagnostics"]

    def at(self, method: str, file: Path, line: int, character: int) -> Any:
        """Ask about a place of an open file, both counted from 0."""
        place = {"line": line, "character": character}
        return self.ask(f"textDocument/{method}", {"textDocument": {"uri": file.as_uri()}, "position": place})

    def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        answer = self._wait(lambda message: message.get("id") == number and "method" not in message)
        assert "error" not in answer, answer
        return answer["result"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait(ANSWER)
        self._reader.join(ANSWER)
        for stream in (self._process.stdin, self._process.stdout):
            stream.close()

    def _wait(self, wanted: Any) -> dict[str, Any]:
        while True:
            message = self._read.get(timeout=ANSWER)
            if wanted(message):
                return message
            if "id" in message and "method" in message:  # a request of the server: it has no settings
                items = message["params"].get("items", []) if isinstance(message.get("params"), dict) else []
                self._send({"id": message["id"], "result": [None for _ in items]})

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self._process.stdin.flush()

    def _receive(self) -> None:
        stream = self._process.stdout
        while header := stream.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                header = stream.readline()
            self._read.put(json.loads(stream.read(length)))
