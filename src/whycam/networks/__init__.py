"""Networks whose last part is piecewise linear, so that a score can be traced back to the feature maps exactly."""
