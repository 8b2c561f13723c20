"""Small GPT-2s that learn indirect object identification, for `ioi.py` and as `zoo:tiny-ioi`.

    python experiments/ioi_model.py --seed 0 --out hc_interp/models/zoo_data/tiny-ioi     # trains it again

`zoo:tiny-ioi` also knows the names of `hc.load_task("ioi")`, which never occur in its training.

The prompts are those of the task "ioi", with made-up names in three lists: names to train on, names that decide when
training stops, and names that occur in neither. A name that never occurred can be copied because the word vectors are
random, stay as they are, and serve as input and as output.

From the usual start such a model soon names one of the two people, and stays there (one model: right on .53 of new
names after 1,500 steps). It does not learn to tell that a name occurs twice. So two of the four heads in each layer
start able to compare words. The first has keys that are the negatives of its queries, so that it attends to other words
than the present one, and the last has keys that are its queries, so that it attends to the same; the output of both is
the transpose of their values. (Starts of this form: Trockman and Kolter 2023, arXiv 2305.09828.) The two heads between
start as usual. Which heads move the name, from where, and what tells them, is left to training.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from hc_interp.data.prompts import ioi as prompts
from hc_interp.models.hashed_files import sha256_of
from hc_interp.models.zoo_cards import CARD

N_NAMES, N_STOP, N_NEW = 1280, 128, 128
STEPS, BATCH, RATE, WARM_UP, CHECK, ENOUGH = 2000, 64, 2e-3, 100, 50, 0.99
LAYERS, HEADS, WIDTH, INNER = 3, 4, 64, 64


def made_up_names() -> list[str]:
    """Names of two syllables, in an order that does not follow the alphabet."""
    syllables = [a + b for a, b in itertools.product("bdfgklmnprstvz", "aeiou")]
    names = [(first + second).capitalize() for first, second in itertools.product(syllables, syllables)]
    return [names[i] for i in np.random.default_rng(0).permutation(len(names))[:N_NAMES]]


NAMES = made_up_names()
NEW, STOP, TRAINED = NAMES[:N_NEW], NAMES[N_NEW : N_NEW + N_STOP], NAMES[N_NEW + N_STOP :]


def word_tokenizer(more_names: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Every word of the prompts is one token, and so are more names."""
    words = {word for template in prompts.TEMPLATES for word in split(template) if "{" not in word}
    vocabulary = [
        "[PAD]",
        "[UNK]",
        *sorted(words | {*prompts.PLACES, *prompts.THINGS}),
        *dict.fromkeys([*NAMES, *more_names]),
    ]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")


def split(template: str) -> list[str]:
    """The words of a template; a field, as in "{place}", is one."""
    return template.replace(",", " ,").split()


@dataclass(frozen=True)
class Prompts:
    """Draws prompts as tokens `[rows, words]`, each padded at its end.

    `templates` has a template in each row and `fields` the place of each field in each template. `words` are the tokens
    that a field may have.
    """

    templates: np.ndarray
    length: np.ndarray
    fields: dict[str, np.ndarray]
    words: dict[str, np.ndarray]

    @classmethod
    def of(cls, tokenizer: Any) -> "Prompts":
        token = tokenizer.convert_tokens_to_ids
        split_up = [split(template) for template in prompts.TEMPLATES]
        length = np.array([len(words) for words in split_up])
        rows = np.full((len(split_up), length.max()), tokenizer.pad_token_id)
        for row, words in zip(rows, split_up, strict=True):
            row[: len(words)] = token(words)
        names = ("first", "second", "subject", "place", "thing")
        fields = {name: np.array([words.index(f"{{{name}}}") for words in split_up]) for name in names}
        words = {"place": np.array(token(list(prompts.PLACES))), "thing": np.array(token(list(prompts.THINGS)))}
        return cls(rows, length, fields, words)

    def draw(self, names: np.ndarray, n: int, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        """Tokens `[n, words]`, and the place of the last word and the token of the answer `[n]`."""
        first = rng.integers(len(names), size=n)
        second = (first + rng.integers(1, len(names), size=n)) % len(names)
        pair = names[np.stack([first, second])]
        subject_first = rng.integers(2, size=n)
        which, rows = rng.integers(len(self.templates), size=n), np.arange(n)
        filled = {"first": pair[0], "second": pair[1], "subject": pair[1 - subject_first, rows]}
        filled |= {name: rng.choice(words, size=n) for name, words in self.words.items()}
        tokens = self.templates[which]
        for name, words in filled.items():
            tokens[rows, self.fields[name][which]] = words
        return tuple(torch.from_numpy(x) for x in (tokens, self.length[which] - 1, pair[subject_first, rows]))


def new_module(size: int, seed: int) -> GPT2LMHeadModel:
    """A model that has not learnt: see the start of this file."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=size, n_positions=24, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=INNER, resid_pdrop=0,
        embd_pdrop=0, attn_pdrop=0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    module, d_head = GPT2LMHeadModel(config), WIDTH // HEADS
    with torch.no_grad():
        module.transformer.wte.weight.normal_(std=WIDTH**-0.5)
        for block in module.transformer.h:
            for first, sign in ((0, -1.0), (WIDTH - d_head, 1.0)):  # the columns of the first and of the last head
                query, value = (torch.randn(WIDTH, d_head) / WIDTH**0.5 for _ in range(2))
                for start, weight in ((0, query), (WIDTH, sign * query), (2 * WIDTH, value)):
                    block.attn.c_attn.weight[:, start + first : start + first + d_head] = weight
                block.attn.c_proj.weight[first : first + d_head] = value.T
    module.transformer.wte.weight.requires_grad_(False)
    return module


def train(
    seed: int, tokenizer: Any, *, trained: Sequence[str] = TRAINED, steps: int = STEPS, report: bool = False
) -> tuple[GPT2LMHeadModel, int, float]:
    """The trained module, its steps, and the share of prompts with new names whose most likely word is the answer."""
    module, draws = new_module(len(tokenizer), seed), Prompts.of(tokenizer)
    known, stop, new = (np.array(tokenizer.convert_tokens_to_ids(list(names))) for names in (trained, STOP, NEW))
    rng = np.random.default_rng([seed, 1])
    held_out = [draws.draw(names, 512, np.random.default_rng([seed, 2])) for names in (stop, new)]
    parameters = [item for item in module.parameters() if item.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0, betas=(0.9, 0.98))
    step = 0
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, step / WARM_UP) * (1 + np.cos(np.pi * step / steps)) / 2
        tokens, last, answers = draws.draw(known, BATCH, rng)
        loss = cross_entropy(last_logits(module, tokens, last), answers)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if step % CHECK == 0:
            right = share_right(module, held_out[0])
            if report:
                print(f"  seed {seed}, step {step}: loss {loss.item():.3f}, stop names {right:.3f}", flush=True)
            if right >= ENOUGH:
                break
    return module.eval(), step, share_right(module, held_out[1])


@torch.no_grad()
def share_right(module: GPT2LMHeadModel, prompts_: tuple[torch.Tensor, ...]) -> float:
    tokens, last, answers = prompts_
    return float((last_logits(module, tokens, last).argmax(-1) == answers).float().mean())


def last_logits(module: GPT2LMHeadModel, tokens: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Logits `[rows, vocabulary]` after the last word of each row. Padding comes later, so that no word reads it."""
    return module.lm_head(module.transformer(tokens).last_hidden_state[torch.arange(len(tokens)), last])


def save(folder: Path, seed: int) -> dict[str, Any]:
    """Train a model that knows the task's own names too, and write it as a model of the zoo. Returns its card."""
    tokenizer = word_tokenizer(prompts.NAMES)
    trained = [name for name in TRAINED if name not in prompts.NAMES]
    module, steps, made_up = train(seed, tokenizer, trained=trained)
    own = np.array(tokenizer.convert_tokens_to_ids(list(prompts.NAMES)))
    right = share_right(module, Prompts.of(tokenizer).draw(own, 2048, np.random.default_rng([seed, 3])))
    module.save_pretrained(folder)
    (folder / "generation_config.json").unlink()  # nothing is generated
    tokenizer.save_pretrained(folder)
    card = {
        "name": "tiny-ioi", "version": "0.2.0", "licence": "MIT", "files": {},
        "training": {
            "script": "experiments/ioi_model.py", "seed": seed, "steps": steps, "batch": BATCH, "rate": RATE,
            "data": f"prompts of hc.load_task('ioi') with {len(trained)} made-up names",
        },
        "right": {"made-up names that never occurred": made_up, "English names, which never occurred": right},
        "limits": "It knows these six templates and nothing else. Two of four heads in each layer started able to "
                  "compare words; see the script.",
    }  # fmt: skip
    card["files"] = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != CARD}
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(save(given.out, given.seed), indent=1))


if __name__ == "__main__":
    main()
