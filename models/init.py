"""Weight initialisation of a detector."""

from models.detector import Detector
from models.heads.priors import Priors


def init_weights(detector: Detector, priors: Priors | None = None) -> None:
    """Set the head's weights by its own rule; every other weight stays as torch drew it.

    convolutions, linear layers: torch's default | batch norm: weight 1, bias 0, eps 1e-3, momentum
    0.03 (`blocks.conv.batch_norm`), in `ResNet` rows torch's 1e-5 and 0.1 | head: see
    `init_weights` of its class.

    Because the head is drawn anew, calling twice does not add twice; the generator is torch's
    default one, so `torch.manual_seed` decides.

    Args:
        detector: changed in place.
        priors: what is known of the data; None for published values.

    Raises:
        ValueError: a count is not positive, or there is not one per class or level.
    """
    detector.head.init_weights(priors or Priors(), detector.strides)
