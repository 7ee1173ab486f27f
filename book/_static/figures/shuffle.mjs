// Who is connected to whom in grouped 1×1 convolutions with a channel shuffle between them.
// Nothing here touches the document. Channels are numbered from 0.

/** Channels that one output channel of a grouped convolution reads: those of its own group. */
export function groupMembers(channels, groups, channel) {
  const each = channels / groups;
  const first = Math.floor(channel / each) * each;
  return Array.from({ length: each }, (_, i) => first + i);
}

/**
 * Where each channel after the shuffle comes from: the channels, written in `groups` rows, are read
 * column by column. 6 channels in 2 groups come out as 0, 3, 1, 4, 2, 5
 * (Zhang et al., "ShuffleNet", section 3.1).
 */
export function shuffleOrder(channels, groups) {
  const each = channels / groups;
  return Array.from({ length: channels }, (_, k) => (k % groups) * each + Math.floor(k / groups));
}

/**
 * Everything that one output of two grouped convolutions depends on, from the top down:
 * { shuffled, middle, inputs }, sorted lists of the channels read after the shuffle, before it,
 * and at the input.
 */
export function dependencies(channels, groups, shuffled, output) {
  const order = shuffled
    ? shuffleOrder(channels, groups)
    : Array.from({ length: channels }, (_, k) => k);
  const read = groupMembers(channels, groups, output);
  const middle = read.map((channel) => order[channel]);
  const inputs = new Set(middle.flatMap((channel) => groupMembers(channels, groups, channel)));
  const sorted = (list) => [...list].sort((a, b) => a - b);
  return { shuffled: read, middle: sorted(middle), inputs: sorted(inputs) };
}
