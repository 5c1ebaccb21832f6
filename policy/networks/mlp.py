"""A small denoiser for low-dimensional states.

Legend: B batch, H rows, I numbers of an input row, M modulation numbers.
"""

from torch import Tensor, nn
from torch.nn import functional

from policy.networks.modulation import Film


class ResidualMlp(nn.Module):
    """Residual blocks over the whole chunk as one vector: strong on low-dimensional states."""

    def __init__(
        self, widths: tuple[int, ...], *, horizon: int, input_size: int, action_size: int
    ) -> None:
        super().__init__()
        width = widths[0]
        self.rows = (horizon, action_size)
        self.modulation = 2 * width * len(widths)
        self.stem = nn.Linear(horizon * input_size, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in widths)
        self.films = nn.ModuleList(Film(width, start=2 * width * i) for i in range(len(widths)))
        self.inner = nn.ModuleList(nn.Linear(width, width) for _ in widths)
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in widths)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, horizon * action_size)

    def forward(self, x_BHI: Tensor, film_BM: Tensor) -> Tensor:
        x = self.stem(x_BHI.flatten(1))
        blocks = zip(self.norms, self.films, self.inner, self.outer, strict=True)
        for norm, film, inner, outer in blocks:
            x = x + outer(functional.silu(inner(film(norm(x), film_BM))))
        return self.out(functional.silu(self.norm(x))).unflatten(-1, self.rows)
