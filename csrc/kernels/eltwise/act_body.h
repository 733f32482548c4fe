/* act_body.h: the activations on sixteen floats. v16.h comes first; asymo_act in asymo.h has the formulas.
 *
 * act must be a constant where speed counts. Each formula is written once, here, so an activation has the same bits in an epilogue, in an
 * eltwise chain and in a recurrent cell. */
#pragma once

#include "../simd/v16_math.h"

/* x < 0 ? s x : x */
V16_FN v16 v16_leaky(v16 x, v16 s) { return v16_select(v16_lt(x, v16_zero()), v16_mul(s, x), x); }

/* min(max(x, low), high); NaN stays NaN */
V16_FN v16 v16_clip(v16 x, v16 low, v16 high) { return v16_min(high, v16_max(low, x)); }

/* act(x). slope: of PRELU, else unused. */
V16_FN v16 v16_act(int64_t act, v16 x, v16 slope, float p, float q) {
    const v16 zero = v16_zero(), one = v16_set1(1.0f), half = v16_set1(0.5f), vp = v16_set1(p), vq = v16_set1(q);
    switch (act) {
    case ASYMO_ACT_CLIP: return v16_clip(x, vp, vq);
    case ASYMO_ACT_LEAKY_RELU: return v16_leaky(x, vp);
    case ASYMO_ACT_PRELU: return v16_leaky(x, slope);
    case ASYMO_ACT_SIGMOID: return v16_sigmoid(x);
    case ASYMO_ACT_TANH: return v16_tanh(x);
    case ASYMO_ACT_SILU: return v16_silu(x, p);
    case ASYMO_ACT_HARD_SIGMOID: return v16_between(v16_add(v16_mul(vp, x), vq), zero, one);
    case ASYMO_ACT_HARD_SWISH: {
        const v16 gate = v16_between(v16_add(v16_mul(v16_set1(1.0f / 6.0f), x), half), zero, one);
        return v16_fma(vp, v16_mul(x, gate), vq);
    }
    case ASYMO_ACT_GELU_ERF: return v16_mul(v16_mul(half, x), v16_add(one, v16_erf(v16_mul(x, v16_set1(0x1.6a09e6p-1f)))));
    case ASYMO_ACT_GELU_TANH: { /* (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), without cancellation */
        const v16 cubic = v16_fma(v16_mul(v16_set1(0.044715f), v16_mul(x, x)), x, x);
        return v16_logistic(x, v16_mul(v16_set1(-0x1.988454p0f), cubic));
    }
    case ASYMO_ACT_ELU: return v16_select(v16_lt(x, zero), v16_mul(vp, v16_expm1(x)), x);
    case ASYMO_ACT_AFFINE: return v16_mul(vp, v16_tanh(v16_mul(vq, x)));
    case ASYMO_ACT_SOFTSIGN: return v16_div(x, v16_add(one, v16_abs(x)));
    case ASYMO_ACT_SOFTPLUS: return v16_softplus(x);
    case ASYMO_ACT_LINEAR: return v16_fma(vp, x, vq);
    case ASYMO_ACT_THRESHOLDED: return v16_select(v16_lt(vp, x), x, zero);
    default: return x;
    }
}
