//! Constant-time samplers: uniform, ternary, narrow and wide discrete Gaussians.
