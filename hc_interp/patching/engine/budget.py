"""How much is computed at once: a memory bound in MiB becomes numbers of senders and of paths."""

from dataclasses import dataclass

from hc_interp.errors import HCError
from hc_interp.models.hooked import HookedModel

# On a CPU more than this gains nothing and leaves the cache; a GPU wants all that memory allows.
CPU_TOKENS = 4096


@dataclass(frozen=True)
class Budget:
    """Sizes of the pieces of a sweep on one batch; half of the memory is for arriving changes, half for step 3.

    Clean and corrupt values of the batch come on top: they grow with the batch, not with the number of paths.
    """

    senders: int
    paths: int
    readers: int

    @classmethod
    def of(
        cls, model: HookedModel, batch: int, length: int, memory_mib: int, *, throughs: int, layers: int
    ) -> "Budget":
        """`throughs`: choices of inputs per receiver; `layers`: how many layers' changes are kept at once.

        Raises `HCError` where not even one sender and one path fit.
        """
        tokens, d_model = batch * length, model.d_model
        d_mlp = model.geometry.d_mlp
        size = model.dtype.itemsize
        attention = 3 * model.n_heads * length
        sender = tokens * (5 * d_model + d_model * throughs * layers) * size
        reader = tokens * (8 * d_model + attention) * size
        path = tokens * (2 * d_mlp + 8 * d_model + attention) * size
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
