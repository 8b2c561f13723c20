"""`Budget`: how many senders and paths are computed at once, from a memory bound in MiB."""

from dataclasses import dataclass

from hc_interp.errors import HCError
from hc_interp.models.hooked import HookedModel

# Tokens that a CPU computes at once: more are no faster and do not fit its cache. On a GPU only memory is a bound.
CPU_TOKENS = 4096


@dataclass(frozen=True)
class Budget:
    """The sizes of the pieces of a sweep on one batch; steps 1 and 2 get half of the memory, step 3 the other half.

    `senders` is how many senders step 1 computes at once, `readers` for how many of these step 2 does, and `paths` how
    many paths step 3 does. The clean and corrupt values of the batch need further memory, which does not depend on the
    number of paths.
    """

    senders: int
    paths: int
    readers: int

    @classmethod
    def of(
        cls, model: HookedModel, batch: int, length: int, memory_mib: int, *, throughs: int, layers: int
    ) -> "Budget":
        """`throughs`: number of different choices of inputs; `layers`: of layers whose receivers' changes are kept.

        `length` is in tokens. Raises `HCError`, which names a bound that is enough, where not even one sender and one
        path fit.
        """
        tokens, d_model = batch * length, model.d_model
        d_mlp = model.geometry.d_mlp
        size = model.dtype.itemsize
        # Tensors of the scores' size; products with distances are twice as large before they are gathered.
        copies = 5 if any(rule.distances is not None for rule in model.geometry.rules) else 3
        attention = copies * model.n_heads * length
        sender = tokens * (5 * d_model + d_model * throughs * layers) * size
        reader = tokens * (8 * d_model + attention) * size
        logits = batch * len(model.labels or range(model.geometry.config.vocab_size))
        path = (tokens * (2 * d_mlp + 8 * d_model + attention) + 3 * logits) * size
        half = memory_mib * 2**20 // 2
        if sender + reader > half or path > half:
            needed = -(-2 * max(sender + reader, path) // 2**20)
            raise HCError(
                f"memory_mib={memory_mib} is not enough for one path on {batch} pairs of {length} tokens, which takes "
                f"{needed} MiB. Set memory_mib={needed} or more, or a smaller batch_size."
            )
        cap = max(1, CPU_TOKENS // tokens) if model.device.type == "cpu" else 10**9
        senders = max(1, min((half - reader) // sender, 4 * cap if cap < 10**9 else cap))
        readers = max(1, min((half - senders * sender) // reader, cap, senders))
        return cls(int(senders), int(max(1, min(half // path, cap))), int(readers))
