#include <stdlib.h>

#include "../../common/base.h"

void asymo_gemm_geometry(int64_t *mr, int64_t *nr, int64_t *kr) { (void)mr; (void)nr; (void)kr; abort(); }
int64_t asymo_gemm_packed_size(int64_t k, int64_t n) { (void)k; (void)n; abort(); }
void asymo_gemm_pack(int64_t k, int64_t n, const float *b, int64_t ks, int64_t ns, float *packed) { (void)k; (void)n; (void)b; (void)ks; (void)ns; (void)packed; abort(); }
int64_t asymo_winograd_packed_size(int64_t tile, int64_t c, int64_t n) { (void)tile; (void)c; (void)n; abort(); }
void asymo_winograd_pack(int64_t tile, int64_t c, int64_t n, const float *w, float *packed) { (void)tile; (void)c; (void)n; (void)w; (void)packed; abort(); }
int64_t asymo_rnn_packed_size(int64_t cell, int64_t hidden) { (void)cell; (void)hidden; abort(); }
void asymo_rnn_pack(int64_t cell, int64_t hidden, const float *r, float *packed) { (void)cell; (void)hidden; (void)r; (void)packed; abort(); }
int64_t asymo_rnn_state_bytes(int64_t cell, int64_t batch, int64_t hidden) { (void)cell; (void)batch; (void)hidden; abort(); }
