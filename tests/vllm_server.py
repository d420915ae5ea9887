"""A server that speaks the part of vLLM's protocol that is used, with a small model behind it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

from selfedit.config import SamplingSettings
from selfedit.model.language_model import LanguageModel
from selfedit.model.load import load_model
from selfedit.model.prompts import Rendered


class VllmStandIn:
    """root: what it says that it has loaded. requests: the paths and bodies that it was sent; loaded:
    the adapters that it knows now. broken: the status of every completion, if any. resets: requests
    that it cuts off next. reloads: whether it can be given other weights; busy: it is writing for
    somebody else."""

    def __init__(self, model: LanguageModel, root: str = "tiny", *, reloads: bool = False) -> None:
        self.model, self.root, self.reloads, self.busy = model, root, reloads, False
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.loaded: dict[str, Any] = {}
        self.most_loaded = 0
        self.broken, self.resets, self.starts = 0, 0, 1
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/metrics":
                    return outer._send(self, 200, outer.metrics().encode())
                own = {"id": "bare", "root": outer.root, "parent": None}
                outer._reply(self, 200, {"data": [{"id": "other", "parent": "bare"}, own]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    if outer.resets:
                        outer.resets -= 1
                        now = struct.pack("ii", 1, 0)  # on closing: no goodbye
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                        self.rfile.close()
                        self.wfile = BytesIO()
                        self.connection.close()
                        return
                    outer.requests.append((self.path, body))
                    status, value = outer._answer(self.path, body)
                outer._reply(self, status, value)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # more than are sent at a time

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def texts(self) -> list[dict[str, Any]]:
        return [body for path, body in self.requests if path == "/v1/completions"]

    def restart(self, model: LanguageModel) -> None:
        """Started anew, with its first weights and without adapters."""
        self.model, self.starts = model, self.starts + 1
        self.loaded.clear()

    def metrics(self) -> str:
        return f"# TYPE x gauge\nprocess_start_time_seconds {self.starts}.5e+09\nother 2\n"

    def _reply(self, handler: BaseHTTPRequestHandler, status: int, value: Any) -> None:
        self._send(handler, status, json.dumps(value).encode())

    def _send(self, handler: BaseHTTPRequestHandler, status: int, data: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("load_lora_adapter"):
            return self._adapter(path, body)
        if path in ("/collective_rpc", "/reset_prefix_cache"):
            return (
                (200, self._developed(path, body)) if self.reloads else (404, {"detail": "Not Found"})
            )
        if self.broken:
            return self.broken, _error("out of blocks")
        if body["model"] not in ("bare", *self.loaded):
            return 404, _error(f"The model `{body['model']}` does not exist.")
        return 200, {"choices": [self._written(body)]}

    def _adapter(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        name = body["lora_name"]
        if path == "/v1/unload_lora_adapter":
            known = self.loaded.pop(name, None)
            return (404, _error(f"{name} cannot be found")) if known is None else (200, {})
        if name in self.loaded:
            return 400, _error(f"{name} has already been loaded")
        self.loaded[name] = self.model.load_adapter(Path(body["lora_path"]))
        self.most_loaded = max(self.most_loaded, len(self.loaded))
        return 200, {}

    def _developed(self, path: str, body: dict[str, Any]) -> Any:
        if path == "/reset_prefix_cache":
            return {"success": not self.busy}
        if body["method"] == "reload_weights":
            assert not self.loaded, "adapters of other weights"
            self.model = load_model(body["kwargs"]["weights_path"])
        return {"results": [None]}

    def _written(self, body: dict[str, Any]) -> dict[str, Any]:
        """vLLM heeds a stop string from the first token on, also behind nothing but blanks; its log-
        probabilities are those at temperature 1."""
        bank = None if body["model"] == "bare" else self.loaded[body["model"]]
        sampling = SamplingSettings(
            temperature=body["temperature"],
            top_p=body["top_p"],
            max_new_tokens=body["max_tokens"],
        )
        (own,) = self.model.writing.write(
            [Rendered(tuple(body["prompt"]))],
            sampling,
            [body["seed"]],
            bank=bank,
            owners=None if bank is None else [0],
            logprobs=True,
        )
        tokens, ended = list(own.tokens), bool(own.ended)
        for count in range(1, len(tokens) + 1):
            text = self.model.tokenizer.decode(tokens[:count], skip_special_tokens=True)
            if any(stop in text for stop in body.get("stop", ())):
                tokens, ended = tokens[:count], True
                break
        values = list(own.logprobs)[: len(tokens)]
        return {
            "token_ids": tokens,
            "finish_reason": "stop" if ended else "length",
            "logprobs": {"token_logprobs": values} if "logprobs" in body else None,
        }


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}
