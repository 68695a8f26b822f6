"""How far a result may be from the float64 reference: max abs error / max abs reference.

float32 keeps 24 bits: a sum of n products of order 1, in any order, stays within about
sqrt(n) * 6e-8. The longest sums here have about 5000 terms; whole networks add up some 50 layers.
"""

# float16 and bfloat16 keep 11 and 8 bits of weights and of the output, sums are float32; Triton's
# interpreter cuts off the other bits of bfloat16 instead of rounding. TF32 keeps 11 bits of weights
# and inputs.
LAYER = {"float32": 5e-6, "tf32": 1e-3, "float16": 1e-3, "bfloat16": 1e-2}
NETWORK = {"float32": 1e-5}
