/* v16_math.h: elementary functions of sixteen floats, the same bits on every instruction set.
 *
 * Only v16 operations, in a fixed order, fused where the code says fma. Infinities, NaN, signed zeros, denormal arguments and denormal
 * results are handled as the C library's functions of the same name do. v16.h comes first.
 *
 * Coefficients: Lawson-weighted least squares of the relative error on Chebyshev nodes in 40 digits (mpmath), rounded to float one after
 * the other from the lowest, the others fitted again after each. "poly" is the relative error of the polynomial on its range.
 * Bounds: over every float (exhaustive, against the C library in double), stated in ULP of the result; tests/test_math.py samples them. */
#pragma once

/* p(x) by Horner with fma, c[0] the lowest coefficient. */
#define V16_POLY(x, ...) v16_poly((x), (const float[]){__VA_ARGS__}, (int)(sizeof((const float[]){__VA_ARGS__}) / sizeof(float)))
V16_FN v16 v16_poly(v16 x, const float *c, int n) {
    v16 y = v16_set1(c[n - 1]);
    _Pragma("GCC unroll 16") for (int i = n - 2; i >= 0; i--) y = v16_fma(y, x, v16_set1(c[i]));
    return y;
}

/* 2^n of whole n in -126..127 */
V16_FN v16 v16_pow2(w16 n) { return v16_bits(w16_shl(w16_add(n, w16_set1(127)), 23)); }

/* x + x_lo = n ln 2 + *r with |*r| <= ln 2 / 2. |x| < 2^20. Not a number: any n, *r NaN.
 * Adding 1.5 2^23 leaves n in the low bits of the sum. */
V16_FN w16 v16_exp_reduce(v16 x, v16 x_lo, v16 *r) {
    const v16 shift = v16_set1(0x1.8p23f);
    const v16 t = v16_fma(x, v16_set1(0x1.715476p0f), shift), n = v16_sub(t, shift);
    *r = v16_add(v16_fma(n, v16_set1(0x1.05c610p-29f), v16_fma(n, v16_set1(-0x1.62e430p-1f), x)), x_lo);
    return w16_sub(w16_bits(t), w16_bits(shift));
}

/* q of exp(r) = 1 + r + r^2 q(r), poly 2^-28 */
V16_FN v16 v16_exp_q(v16 r) { return V16_POLY(r, 0x1.fffffcp-2f, 0x1.555490p-3f, 0x1.5558a4p-5f, 0x1.123ac8p-7f, 0x1.6a5bbcp-10f); }

/* exp(r) as 1 + r (1 + r q): less is lost than with 1 + (r + r^2 q). */
V16_FN v16 v16_exp_near(v16 r) {
    const v16 one = v16_set1(1.0f);
    return v16_fma(v16_fma(v16_exp_q(r), r, one), r, one);
}

/* exp(x + x_lo), |x_lo| far below |x|. Two steps of scaling, so that a denormal result is rounded once. */
V16_FN v16 v16_exp_sum(v16 x, v16 x_lo) {
    v16 r;
    const w16 n = v16_exp_reduce(v16_min(v16_set1(89.0f), v16_max(v16_set1(-104.0f), x)), x_lo, &r), half = w16_shr(n, 1);
    return v16_mul(v16_mul(v16_exp_near(r), v16_pow2(half)), v16_pow2(w16_sub(n, half)));
}

/* exp(x), 1 ULP */
V16_FN v16 v16_exp(v16 x) { return v16_exp_sum(x, v16_zero()); }

/* exp(x) for x in -80..80 */
V16_FN v16 v16_exp_small(v16 x) {
    v16 r;
    const w16 n = v16_exp_reduce(x, v16_zero(), &r);
    return v16_mul(v16_exp_near(r), v16_pow2(n));
}

/* exp(x) - 1, 2 ULP; below -18 it is -1. 2^n p + (2^n - 1) at half size, because 2^128 is no float. */
V16_FN v16 v16_expm1(v16 x) {
    v16 r;
    const w16 n = v16_exp_reduce(v16_min(v16_set1(89.0f), v16_max(v16_set1(-18.0f), x)), v16_zero(), &r);
    const v16 p = v16_fma(v16_mul(r, r), v16_exp_q(r), r), s = v16_pow2(w16_sub(n, w16_set1(1)));
    const v16 half = v16_fma(p, s, v16_sub(s, v16_set1(0.5f)));
    return v16_copysign(v16_add(half, half), x);
}

/* log(2^e (1 + f)) for f in sqrt(1/2) - 1 .. sqrt(2) - 1: f - f^2 / 2 + f^3 q(f), poly 2^-27; the sum e ln 2 + f keeps its rest. */
V16_FN v16 v16_log_join(v16 f, v16 e) {
    const v16 q = V16_POLY(f, -0.5f, 0x1.555554p-2f, -0x1.000228p-2f, 0x1.99a004p-3f, -0x1.5471f6p-3f, 0x1.22dbb6p-3f, -0x1.0d8a82p-3f,
                           0x1.054e1cp-3f, -0x1.3871fap-4f);
    const v16 high = v16_mul(e, v16_set1(0x1.62e400p-1f)), sum = v16_add(high, f), rest = v16_add(v16_sub(high, sum), f);
    const v16 low = v16_fma(e, v16_set1(0x1.7f7d1cp-20f), v16_fma(v16_mul(f, f), q, rest));
    return v16_add(sum, low);
}

/* x = 2^e m with m in sqrt(1/2) .. sqrt(2), for positive finite x, denormals too. 0x3f3504f3 is sqrt(1/2). */
V16_FN v16 v16_split(v16 x, v16 *e) {
    const m16 tiny = v16_lt(x, v16_set1(0x1p-126f));
    const w16 bits = w16_bits(v16_select(tiny, v16_mul(x, v16_set1(0x1p23f)), x));
    const w16 n = w16_shr(w16_sub(bits, w16_set1(0x3f3504f3)), 23);
    *e = v16_sub(v16_from_w16(n), v16_select(tiny, v16_set1(23.0f), v16_zero()));
    return v16_bits(w16_sub(bits, w16_shl(n, 23)));
}

/* log(x), 1 ULP */
V16_FN v16 v16_log(v16 x) {
    const v16 inf = v16_set1(__builtin_inff());
    v16 e;
    const v16 m = v16_split(x, &e);
    v16 y = v16_log_join(v16_sub(m, v16_set1(1.0f)), e);
    y = v16_select(v16_lt(x, inf), y, x); /* inf and NaN */
    y = v16_select(v16_eq(x, v16_zero()), v16_neg(inf), y);
    return v16_select(v16_lt(x, v16_zero()), v16_set1(__builtin_nanf("")), y);
}

/* log(1 + x) for 0 <= x <= 1, 1 ULP. Above sqrt(2) - 1 it is ln 2 + log((1 + x) / 2). */
V16_FN v16 v16_log1p_unit(v16 x) {
    const v16 one = v16_set1(1.0f);
    const m16 upper = v16_lt(v16_set1(0x1.a8279ap-2f), x);
    const v16 f = v16_select(upper, v16_mul(v16_sub(x, one), v16_set1(0.5f)), x);
    return v16_log_join(f, v16_select(upper, one, v16_zero()));
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), 2 ULP */
V16_FN v16 v16_softplus(v16 x) { return v16_add(v16_max(v16_zero(), x), v16_log1p_unit(v16_exp(v16_neg(v16_abs(x))))); }

/* 1 / (1 + exp(-x)), 2 ULP. exp of -|x| only, so that small results keep their bits; rest is what 1 + e has lost. */
V16_FN v16 v16_sigmoid(v16 x) {
    const v16 one = v16_set1(1.0f), e = v16_exp(v16_neg(v16_abs(x)));
    const v16 d = v16_add(one, e), rest = v16_add(v16_sub(one, d), e);
    const v16 y = v16_div(v16_select(v16_lt(x, v16_zero()), e, one), d);
    return v16_fma(v16_neg(y), rest, y);
}

/* tanh(x), 2 ULP. |x| < 0.5625: x + x^3 q(x^2), poly 2^-29; else 1 - 2 / (exp(2 |x|) + 1). */
V16_FN v16 v16_tanh(v16 x) {
    const v16 one = v16_set1(1.0f), a = v16_abs(x), s = v16_mul(x, x);
    const v16 q = V16_POLY(s, -0x1.555548p-2f, 0x1.110c64p-3f, -0x1.b90758p-5f, 0x1.582242p-6f, -0x1.94be68p-8f);
    const v16 near = v16_fma(v16_mul(s, q), x, x);
    const v16 e = v16_exp_small(v16_min(v16_set1(20.0f), v16_add(a, a)));
    const v16 far = v16_copysign(v16_sub(one, v16_div(v16_set1(2.0f), v16_add(e, one))), x);
    return v16_select(v16_lt(a, v16_set1(0.5625f)), near, far);
}

/* erf(x), 2 ULP. |x| < 0.9375: x + x q(x^2), poly 2^-30; else 1 - exp(-(|x| + |x| q(|x|))), poly 2^-28; above 3.95 it is 1. */
V16_FN v16 v16_erf(v16 x) {
    const v16 one = v16_set1(1.0f), a = v16_abs(x), s = v16_mul(x, x);
    const v16 q = V16_POLY(s, 0x1.06eba8p-3f, -0x1.812742p-2f, 0x1.ce2de6p-4f, -0x1.b80c08p-6f, 0x1.54b154p-8f, -0x1.a98000p-11f,
                           0x1.5a7084p-14f);
    const v16 near = v16_fma(q, x, x);
    const v16 b = v16_min(v16_set1(3.95f), a);
    const v16 t = V16_POLY(b, 0x1.072f90p-3f, 0x1.457f5cp-1f, 0x1.af0d16p-4f, -0x1.76c594p-6f, 0x1.a4c14ap-9f, -0x1.bf89a8p-13f);
    const v16 e = v16_exp_small(v16_neg(v16_fma(t, b, b)));
    return v16_select(v16_lt(a, v16_set1(0.9375f)), near, v16_copysign(v16_sub(one, e), x));
}
