"""The slow, obvious way to train with an anchor: PEFT, whole logits, autograd."""

from __future__ import annotations

import torch
from peft import get_peft_model
from torch.nn.functional import cross_entropy
from transformers import get_scheduler

from selfedit.bench.reference import peft_config
from selfedit.lora.bank import AdapterBank
from selfedit.lora.sequences import anchored, num_steps


def divergence(logits_V, soft, i):
    """KL(teacher || student) over the teacher's k tokens and the rest, of one position."""
    p = logits_V.softmax(0)
    top = soft.ids_Mk[i]
    t, rest = soft.log_Mk[i].exp(), soft.rest_M[i].exp()
    value = (t * (t.log() - p[top].log())).sum()
    if len(top) < len(p):
        others = torch.ones_like(p, dtype=torch.bool)
        others[top] = False
        value = value + rest * (rest.log() - p[others].sum().log())
    return value


def sequence_losses(model, sequence):
    """Each supervised token's hard * cross-entropy + soft_weight * KL; the KLs."""
    logits = model(input_ids=torch.tensor([sequence.ids])).logits[0]
    losses, drifts = [], []
    for i, place in enumerate(sequence.supervised):
        own = logits[place - 1]
        loss = sequence.hard * cross_entropy(own, torch.tensor(sequence.ids[place]))
        if sequence.soft is not None:
            drifts.append(divergence(own, sequence.soft, i))
            loss = loss + sequence.soft_weight * drifts[-1]
        losses.append(loss)
    return losses, drifts


def plain_anchored(model, lora, sequences, settings, seed, anchors):
    """Factors by module, the own loss of each step, and the drift of each step with anchors."""
    bank = AdapterBank(model.hf, lora, [seed], num_layers=model.num_layers)
    peft = get_peft_model(model.hf, peft_config(bank))
    layers = {t.name: peft.get_submodule(f"base_model.model.{t.name}") for t in bank.targets}
    with torch.no_grad():
        for name, layer in layers.items():
            layer.lora_A["default"].weight.copy_(bank.factors[name][0][0].T)
            layer.lora_B["default"].weight.copy_(bank.factors[name][1][0].T)
    parameters = [p for p in peft.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = get_scheduler(
        settings.schedule,
        optimizer,
        num_warmup_steps=settings.warmup_steps,
        num_training_steps=num_steps(len(sequences), settings),
    )
    losses, drifts = [], []
    try:
        for own, held in anchored(sequences, settings, seed, anchors):
            mean = torch.stack([x for s in own for x in sequence_losses(peft, s)[0]]).mean()
            loss = mean
            if held:
                both = [sequence_losses(peft, s) for s in held]
                loss = loss + torch.stack([x for own, _ in both for x in own]).mean()
                drifts.append(torch.stack([x for _, kl in both for x in kl]).mean().item())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(mean.item())
        factors = {
            name: (
                layer.lora_A["default"].weight.detach().T.clone(),
                layer.lora_B["default"].weight.detach().T.clone(),
            )
            for name, layer in layers.items()
        }
    finally:
        peft.unload()
        model.hf.requires_grad_(False)
    return factors, losses, drifts
