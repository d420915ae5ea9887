"""Whether a real vLLM server writes what this process writes, as the sampler of `selfedit train`.

    VLLM_PYTHON=.venv-vllm/bin/python python scripts/check_vllm_sampler.py [--texts 32] [--tokens 48]

Greedy texts of the bare model and of three adapters are compared. Where one differs, the first token
that does must be a tie but for rounding: the log-probabilities of the two candidates, by this process's
model, differ by less than TIE. Those of equal tokens may differ by TOLERANCE. Then both write the same
sampled texts against the clock, one after the other; without it (--texts-only) neither needs a quiet
machine. Then the server is given other weights, those of a policy, and the first ones again. Last, an
adapter that one client has left there is used by another one, and by both after a restart of vLLM.
scripts/check_tools.py says how vLLM is installed for a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import torch

from selfedit.config import LoraSettings, SamplingSettings
from selfedit.endpoints.vllm import VllmServer
from selfedit.lora.bank import AdapterBank
from selfedit.model.language_model import LanguageModel
from selfedit.model.load import load_model, source_of
from selfedit.model.vllm import ThroughVllm
from selfedit.types import Completion, Prompt

TIE = 0.01  # nats
TOLERANCE = 2e-3  # nats
ADAPTERS, NOISE = 3, 0.02
WORDS = "river lamp stone harbour winter copper garden signal bridge window".split()
# On a CPU: gigabytes for keys and values, and threads that may use all cores that there are.
VLLM = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    "VLLM_SERVER_DEV_MODE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONPATH": "",
}


def prompts(count: int) -> list[Prompt]:
    draw = random.Random(0)
    return [
        Prompt(
            f"Rewrite this sentence in other words.\n\nThe {draw.choice(WORDS)} of the "
            f"{draw.choice(WORDS)} was built in {1800 + n} by the {draw.choice(WORDS)} guild."
        )
        for n in range(count)
    ]


def adapters(model: LanguageModel) -> AdapterBank:
    """Random ones, which change texts and leave them texts."""
    bank = AdapterBank(model.hf, LoraSettings(), list(range(ADAPTERS)), num_layers=model.num_layers)
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(bank.weights_KP.shape, generator=draw)
    bank.weights_KP.copy_(NOISE * noise.to(bank.weights_KP.dtype))
    return bank


def gap(
    model: LanguageModel,
    prompt: Prompt,
    ours: Completion,
    theirs: Completion,
    bank: AdapterBank | None,
    owner: int,
) -> tuple[int, float]:
    """The first token that differs, and by how many nats this process finds its own one likelier."""
    pairs = zip(ours.tokens, theirs.tokens, strict=False)
    place = next(n for n, (a, b) in enumerate(pairs) if a != b)
    ids = [*model.render(prompt).ids, *ours.tokens[:place]]
    with torch.inference_mode():
        if bank is None:
            logits = model.hf(torch.tensor([ids])).logits[0, -1]
        else:
            own = bank.over(model.hf)
            own.route([owner], [len(ids)])
            with own.attached():
                logits = model.hf(torch.tensor([ids])).logits[0, -1]
    values = logits.float().log_softmax(-1)
    return place, float(values[ours.tokens[place]] - values[theirs.tokens[place]])


def compare(
    model: LanguageModel, through: ThroughVllm, bank: AdapterBank | None, count: int, new: int
) -> bool:
    """Whether greedy texts are equal but for ties, and their log-probabilities close."""
    asked = prompts(count)
    owners = None if bank is None else [n % bank.num_adapters for n in range(count)]
    greedy = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=new)
    both = [
        one.sample(asked, greedy, [0] * count, adapters=bank, owners=owners, logprobs=True)
        for one in (model, through)
    ]
    equal, worst, good = 0, 0.0, True
    for n, (ours, theirs) in enumerate(zip(*both, strict=True)):
        same = ours.text == theirs.text and ours.tokens == theirs.tokens
        equal += same
        shared = next(
            (i for i, (a, b) in enumerate(zip(ours.tokens, theirs.tokens, strict=False)) if a != b),
            min(len(ours.tokens), len(theirs.tokens)),
        )
        apart = [abs(a - b) for a, b in zip(ours.logprobs, theirs.logprobs, strict=False)][:shared]
        worst = max([worst, *apart])
        if not same and shared == min(len(ours.tokens), len(theirs.tokens)):
            print(f"  text {n}: one ends earlier: {ours.tokens[-3:]}, vLLM's {theirs.tokens[-3:]}")
            good = False
        elif not same:
            place, nats = gap(model, asked[n], ours, theirs, bank, owners[n] if owners else 0)
            print(f"  text {n} differs from token {place} on: {nats:.2e} nats between the two")
            good &= abs(nats) < TIE
    who = "the bare model" if bank is None else f"{bank.num_adapters} adapters"
    print(
        f"{who}: {equal} of {count} greedy texts equal; log-probabilities {worst:.1e} apart at most",
        flush=True,
    )
    return good and worst < TOLERANCE


def policies(model: LanguageModel, source: str, server: VllmServer, count: int, new: int) -> bool:
    """Whether texts are equal when the server is given a policy's weights, with adapters over them, and
    when it is given the first ones back."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "policy"
        model.save_adapter(adapters(model), 0, Path(folder) / "adapter")
        model.save_merged(place, Path(folder) / "adapter")
        policy = load_model(str(place), dtype="float32", device="cpu")
        there = ThroughVllm(policy, server, source=str(place))
        print("a policy's weights:")
        good = compare(policy, there, None, count, new)
        good &= compare(policy, there, adapters(policy), count, new)
    print("the first ones again:")
    return good & compare(model, ThroughVllm(model, server, source=source), None, count, new)


def restarts(model: LanguageModel, python: str, source: str, new: int) -> bool:
    """Whether an adapter's text stays the same when the client, and then the server, starts anew."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        model.save_adapter(adapters(model), 0, Path(folder))
        body = {"prompt": list(model.render(prompts(1)[0]).ids), "max_tokens": new, "temperature": 0.0}

        def text(server: VllmServer) -> str:
            with closing(server.http.connection()) as connection:
                data = server.write(connection, body, Path(folder))
            return str(json.loads(data)["choices"][0]["text"])

        with served(python, source, port=port) as url:
            clients = [VllmServer(url), VllmServer(url)]
            found = [text(client) for client in (*clients, clients[0])]
        with served(python, source, port=port):
            found += [text(client) for client in clients]
    print(f"restarts: {found.count(found[0])} of {len(found)} texts of an adapter equal", flush=True)
    return len(set(found)) == 1


def speeds(model: LanguageModel, through: ThroughVllm, count: int, new: int) -> None:
    """Tokens a second of sampled texts, of each: load, then time."""
    asked, warm = prompts(count), SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=new)
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, one in (("this process", model), ("vLLM", through)):
        one.sample(asked[:4], warm, range(4))
        begun = time.perf_counter()
        replies = one.sample(asked, warm, range(count))
        took = time.perf_counter() - begun
        tokens = sum(model.count_tokens(own.text) for own in replies)
        print(f"{name}: {tokens} tokens in {took:.1f} s, {tokens / took:.0f} a second", flush=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(
    python: str, model: str, more: Sequence[str] = (), *, port: int | None = None
) -> Iterator[str]:
    port = port or free_port()
    # What `vllm serve` starts; the command itself does not find the version of the package vllm-cpu.
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "512", "--max-num-seqs", "32", "--enable-lora", "--max-loras", "4"]
    command += ["--max-lora-rank", "32", *more]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, env={**os.environ, **VLLM}, stdout=log, stderr=log)
        try:
            for _ in range(1800):
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"vLLM ended:\n{log.read()[-3000:]}")
                with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
                time.sleep(1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48, help="of a text, at most")
    parser.add_argument("--texts-only", action="store_true", help="do not measure speeds")
    given = parser.parse_args()
    vllm = os.environ.get("VLLM_PYTHON", ".venv-vllm/bin/python")
    if not Path(vllm).exists():
        print(f"vllm is not here (no {vllm}): not checked")
        return
    model = load_model(given.model, dtype="float32", device="cpu")
    source = source_of(given.model, print)
    with served(vllm, source) as url:
        server = VllmServer(url)
        through = ThroughVllm(model, server)
        good = compare(model, through, None, given.texts, given.tokens)
        good &= compare(model, through, adapters(model), given.texts, given.tokens)
        if not given.texts_only:
            speeds(model, through, given.texts, given.tokens)
        good &= policies(model, source, server, given.texts, given.tokens)
    good &= restarts(model, vllm, source, given.tokens)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
