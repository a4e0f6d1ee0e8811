"""The names of the residual blocks of the StratoNet family; no Keras needed."""

from __future__ import annotations

# Number of blocks in the stages conv2 to conv5, by depth.
BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def list_blocks(depth: int) -> list[str]:
    """List the outputs of all residual blocks of a network, in order.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Depth of the network.

    Returns
    -------
    list of str
        Layer names.

    Raises
    ------
    ValueError
        There is no network of this depth.

    Examples
    --------
    >>> list_blocks(18)[:3]
    ['conv2_block1_out', 'conv2_block2_out', 'conv3_block1_out']
    """
    if depth not in BLOCKS:
        raise ValueError(f"depth must be one of {sorted(BLOCKS)}. Received: {depth!r}")
    return [
        f"conv{stage}_block{block}_out"
        for stage, count in enumerate(BLOCKS[depth], start=2)
        for block in range(1, count + 1)
    ]


def get_default_taps(depth: int) -> dict[str, str]:
    """Return the low, medium and high taps as ``{alias: layer name}``.

    Depth 50 uses those of the thesis (section 6.2): conv3 block 4, conv4 block 4, conv4
    block 6. Other depths use the blocks at the same positions: the last of conv3, two
    thirds into conv4, the last of conv4.

    Examples
    --------
    >>> get_default_taps(18)["medium"]
    'conv4_block1_out'
    """
    list_blocks(depth)  # refuses other depths
    _, conv3, conv4, _ = BLOCKS[depth]
    medium = max(1, round(conv4 * 2 / 3))
    return {
        "low": f"conv3_block{conv3}_out",
        "medium": f"conv4_block{medium}_out",
        "high": f"conv4_block{conv4}_out",
    }
