// The small net with so many units that its gradients are worth a codec.
import { netWith } from './small-net.ts';

export default netWith(256);
