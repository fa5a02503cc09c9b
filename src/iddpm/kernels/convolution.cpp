// Convolutions of 3x3 with stride 1 and a border of zeros, by Winograd's F(2x2, 3x3) (Lavin & Gray 2016).
//
// Of every tile of 2x2 outputs the 4x4 inputs are transformed, V = B' d B. At each of the 16 points the transformed
// inputs of all tiles are multiplied by the transformed weights, M = V U with U = G g G', and transformed back,
// y = A' M A: 16 multiplications where 36 were. All that the transforms multiply by is 1, -1 and 1/2, so rounding is
// like that of the plain sum. The gradient of the input is a convolution with the weights mirrored; that of
// the weights is the adjoint, g = G' (V' (A dy A')) G.
//
// Tensors are float32 with channels last: x[n][row][column][c], weights [out][row][column][in]. The number of channels
// is a multiple of `granularity` on both sides. Nothing is allocated here: `scratch` comes from the caller, as large as
// the functions of that name say. OpenMP is the one that torch has loaded: nothing is linked here.

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace {

// A vector register's worth of channels, and how many rows and vectors of a product are summed in registers at once.
#if defined(__AVX512F__)
constexpr int64_t LANES = 16, ROWS = 12;
#else
constexpr int64_t LANES = 8, ROWS = 6;
#endif
constexpr int64_t PANEL = 2 * LANES;
constexpr int64_t POINTS = 16;
constexpr int64_t SCRATCH = 1 << 20;  // floats that the gradient of weights works on at a time: a share of the L3 cache

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
inline vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
inline void store(float* p, vec v) { *reinterpret_cast<vec*>(p) = v; }

struct Shape {
  int64_t images, height, width, in, out;
  int64_t across() const { return (width + 1) / 2; }
  int64_t down() const { return (height + 1) / 2; }
  int64_t tiles() const { return images * across() * down(); }
};

// Where a tile's first output is.
struct Tile {
  int64_t image, top, left;
  Tile(const Shape& s, int64_t number)
      : image(number / (s.across() * s.down())),
        top(number / s.across() % s.down() * 2),
        left(number % s.across() * 2) {}
};

// d[4] -> B' d, over values `step` apart.
inline void transform_input(const vec* d, int step, vec* out) {
  out[0] = d[0] - d[2 * step];
  out[step] = d[step] + d[2 * step];
  out[2 * step] = d[2 * step] - d[step];
  out[3 * step] = d[step] - d[3 * step];
}

// V of one tile, all of its channels: v[point][...][channel], points `apart` apart.
inline void input_tile(const Shape& s, const float* x, int64_t number, float* v, int64_t apart) {
  const Tile tile(s, number);
  const int64_t top = tile.top - 1, left = tile.left - 1;
  const float* image = x + tile.image * s.height * s.width * s.in;
  const bool inside = top >= 0 && left >= 0 && top + 4 <= s.height && left + 4 <= s.width;
  for (int64_t c = 0; c < s.in; c += LANES) {
    vec d[POINTS], h[POINTS];
    for (int a = 0; a < 4; ++a)
      for (int b = 0; b < 4; ++b) {
        const int64_t row = top + a, column = left + b;
        const bool there = inside || (row >= 0 && row < s.height && column >= 0 && column < s.width);
        d[a * 4 + b] = there ? load(image + (row * s.width + column) * s.in + c) : vec{};
      }
    for (int a = 0; a < 4; ++a) transform_input(d + a * 4, 1, h + a * 4);
    for (int b = 0; b < 4; ++b) transform_input(h + b, 4, d + b);
    for (int k = 0; k < POINTS; ++k) store(v + k * apart + c, d[k]);
  }
}

// y of one tile from M, `wide` channels of it from the first at `y` and `bias`.
inline void output_tile(const Shape& s, const float* m, int64_t apart, const float* bias, int64_t number, float* y,
                        int64_t wide) {
  const Tile tile(s, number);
  float* first = y + ((tile.image * s.height + tile.top) * s.width + tile.left) * s.out;
  const bool below = tile.top + 1 < s.height, beside = tile.left + 1 < s.width;
  for (int64_t c = 0; c < wide; c += LANES) {
    vec h[8];
    for (int b = 0; b < 4; ++b) {
      const vec m1 = load(m + (4 + b) * apart + c), m2 = load(m + (8 + b) * apart + c);
      h[b] = load(m + b * apart + c) + m1 + m2;
      h[4 + b] = m1 - m2 - load(m + (12 + b) * apart + c);
    }
    const vec shift = bias ? load(bias + c) : vec{};
    for (int a = 0; a < (below ? 2 : 1); ++a) {
      float* row = first + a * s.width * s.out + c;
      const vec* q = h + a * 4;
      store(row, q[0] + q[1] + q[2] + shift);
      if (beside) store(row + s.out, q[1] - q[2] - q[3] + shift);
    }
  }
}

// A dy A' of one tile, all of its channels: m[point][...][channel].
inline void gradient_tile(const Shape& s, const float* d_y, int64_t number, float* m, int64_t apart) {
  const Tile tile(s, number);
  const float* first = d_y + ((tile.image * s.height + tile.top) * s.width + tile.left) * s.out;
  const bool below = tile.top + 1 < s.height, beside = tile.left + 1 < s.width;
  for (int64_t c = 0; c < s.out; c += LANES) {
    vec h[8];
    for (int a = 0; a < 2; ++a) {
      const float* row = first + a * s.width * s.out + c;
      const bool there = a == 0 || below;
      const vec y0 = there ? load(row) : vec{}, y1 = there && beside ? load(row + s.out) : vec{};
      h[a * 4] = y0;
      h[a * 4 + 1] = y0 + y1;
      h[a * 4 + 2] = y0 - y1;
      h[a * 4 + 3] = -y1;
    }
    for (int b = 0; b < 4; ++b) {
      store(m + b * apart + c, h[b]);
      store(m + (4 + b) * apart + c, h[b] + h[4 + b]);
      store(m + (8 + b) * apart + c, h[b] - h[4 + b]);
      store(m + (12 + b) * apart + c, -h[4 + b]);
    }
  }
}

// out[r][panel] (+)= sum over k of left[r, k] right[k][panel], in R rows of registers.
template <int R, bool ADD>
inline void product(int64_t depth, const float* left, int64_t row, int64_t column, const float* right, int64_t width,
                    float* out, int64_t out_width) {
  vec sum[R][2];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 2; ++c) sum[r][c] = ADD ? load(out + r * out_width + c * LANES) : vec{};
  for (int64_t k = 0; k < depth; ++k) {
    const vec u0 = load(right + k * width), u1 = load(right + k * width + LANES);
    for (int r = 0; r < R; ++r) {
      const float x = left[r * row + k * column];
      sum[r][0] += x * u0;
      sum[r][1] += x * u1;
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < 2; ++c) store(out + r * out_width + c * LANES, sum[r][c]);
}

template <int R, bool ADD, class... Rest>
inline void few_rows(int64_t rows, Rest... rest) {
  if (rows == R) return product<R, ADD>(rest...);
  if constexpr (R > 1) few_rows<R - 1, ADD>(rows, rest...);
}

// The same for any number of rows.
template <bool ADD>
inline void product_of(int64_t rows, int64_t depth, const float* left, int64_t row, int64_t column, const float* right,
                       int64_t width, float* out, int64_t out_width) {
  for (int64_t done = 0; done < rows;) {
    const int64_t still = rows - done;
    const int64_t now = still <= ROWS ? still : still < 2 * ROWS ? (still + 1) / 2 : ROWS;
    few_rows<ROWS, ADD>(now, depth, left + done * row, row, column, right, width, out + done * out_width, out_width);
    done += now;
  }
}

// How a convolution is shared out: blocks of tiles, so small that V and M stay in a core's cache, and if those are
// fewer than the threads, parts of the output's channels too.
struct Plan {
  int64_t block, blocks, parts, panels;
  Plan(const Shape& s, int64_t threads) : panels(s.out / PANEL) {
    const int64_t cache = 48 * 1024;  // floats
    const int64_t most = std::clamp(cache / (POINTS * (s.in + s.out)) / ROWS, int64_t{2}, int64_t{8}) * ROWS;
    const int64_t rounds = std::max<int64_t>(1, (s.tiles() + threads * most - 1) / (threads * most));
    const int64_t even = (s.tiles() + threads * rounds - 1) / (threads * rounds);
    block = std::min(most, std::max((even + ROWS - 1) / ROWS, int64_t{2}) * ROWS);
    blocks = (s.tiles() + block - 1) / block;
    parts = blocks < threads ? std::min(panels, threads) : 1;
  }
  int64_t widest() const { return (panels + parts - 1) / parts * PANEL; }
  int64_t scratch(const Shape& s) const { return POINTS * block * (s.in + widest()); }
};

int64_t tiles_at_a_time(const Shape& s) {
  return std::min(s.tiles(), std::max<int64_t>(ROWS, SCRATCH / (POINTS * (s.in + s.out))));
}

}  // namespace

extern "C" {

int64_t conv3x3_granularity() { return PANEL; }

// A hash of 64 of the numbers, from all over.
int64_t conv3x3_fingerprint(const float* values, int64_t count) {
  const int64_t step = std::max<int64_t>(1, count / 64);
  uint64_t hash = 14695981039346656037u;
  for (int64_t i = 0; i < count; i += step) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    hash = (hash ^ bits) * 1099511628211u;
  }
  return static_cast<int64_t>(hash);
}

// Transformed weights, u[point][panel][in][PANEL], of weights w[out][3][3][in]; `mirrored`: of those with which the
// gradient of the output is convolved, w[in][3][3][out] turned by half a turn.
void conv3x3_weights(const float* w, float* u, int64_t in, int64_t out, int64_t mirrored, int64_t threads) {
  const int64_t panels = out / PANEL;
#pragma omp parallel for num_threads(threads) collapse(2)
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t i = 0; i < in; i += LANES) {
      float block[LANES][9][PANEL];
      for (int64_t k = 0; k < 9; ++k)
        for (int64_t l = 0; l < LANES; ++l)
          for (int64_t j = 0; j < PANEL; ++j)
            block[l][k][j] = mirrored ? w[((i + l) * 9 + 8 - k) * out + p * PANEL + j]
                                      : w[((p * PANEL + j) * 9 + k) * in + i + l];
      for (int64_t l = 0; l < LANES; ++l)
        for (int64_t j = 0; j < PANEL; j += LANES) {
          vec h[12];
          for (int b = 0; b < 3; ++b) {
            const vec g0 = load(block[l][b] + j), g1 = load(block[l][3 + b] + j), g2 = load(block[l][6 + b] + j);
            h[b] = g0;
            h[3 + b] = 0.5f * (g0 + g1 + g2);
            h[6 + b] = 0.5f * (g0 - g1 + g2);
            h[9 + b] = g2;
          }
          for (int a = 0; a < 4; ++a) {
            const vec g0 = h[a * 3], g1 = h[a * 3 + 1], g2 = h[a * 3 + 2];
            float* to = u + ((a * 4 * panels + p) * in + i + l) * PANEL + j;
            const int64_t apart = panels * in * PANEL;
            store(to, g0);
            store(to + apart, 0.5f * (g0 + g1 + g2));
            store(to + 2 * apart, 0.5f * (g0 - g1 + g2));
            store(to + 3 * apart, g2);
          }
        }
    }
}

int64_t conv3x3_scratch(int64_t images, int64_t height, int64_t width, int64_t in, int64_t out, int64_t threads) {
  const Shape s{images, height, width, in, out};
  return threads * Plan(s, threads).scratch(s);
}

// y[images][height][width][out] of x[images][height][width][in]; bias may be null.
void conv3x3(const float* x, const float* u, const float* bias, float* y, float* scratch, int64_t images,
             int64_t height, int64_t width, int64_t in, int64_t out, int64_t threads) {
  const Shape s{images, height, width, in, out};
  const Plan plan(s, threads);
  const int64_t tasks = plan.blocks * plan.parts, apart = plan.block * in;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int64_t thread = 0; thread < threads; ++thread) {
    float* v = scratch + thread * plan.scratch(s);
    float* m = v + POINTS * apart;
    for (int64_t task = tasks * thread / threads; task < tasks * (thread + 1) / threads; ++task) {
      const int64_t first = task / plan.parts * plan.block, part = task % plan.parts;
      const int64_t count = std::min(plan.block, s.tiles() - first);
      const int64_t from = plan.panels * part / plan.parts, to = plan.panels * (part + 1) / plan.parts;
      const int64_t wide = (to - from) * PANEL, m_apart = plan.block * wide;
      for (int64_t i = 0; i < count; ++i) input_tile(s, x, first + i, v + i * in, apart);
      for (int64_t k = 0; k < POINTS; ++k)
        for (int64_t p = from; p < to; ++p)
          product_of<false>(count, in, v + k * apart, in, 1, u + (k * plan.panels + p) * in * PANEL, PANEL,
                            m + k * m_apart + (p - from) * PANEL, wide);
      const float* shift = bias ? bias + from * PANEL : nullptr;
      for (int64_t i = 0; i < count; ++i)
        output_tile(s, m + i * wide, m_apart, shift, first + i, y + from * PANEL, wide);
    }
  }
}

int64_t conv3x3_weight_gradient_scratch(int64_t images, int64_t height, int64_t width, int64_t in, int64_t out) {
  const Shape s{images, height, width, in, out};
  return POINTS * (in * out + tiles_at_a_time(s) * (in + out));
}

// d_w[out][3][3][in].
void conv3x3_weight_gradient(const float* x, const float* d_y, float* d_w, float* scratch, int64_t images,
                             int64_t height, int64_t width, int64_t in, int64_t out, int64_t threads) {
  const Shape s{images, height, width, in, out};
  const int64_t chunk = tiles_at_a_time(s), panels = out / PANEL;
  float* d_u = scratch;  // [point][in][out]
  float* v = d_u + POINTS * in * out;
  float* m = v + POINTS * chunk * in;
#pragma omp parallel num_threads(threads)
  {
#pragma omp for
    for (int64_t k = 0; k < POINTS; ++k) std::fill_n(d_u + k * in * out, in * out, 0.0f);
    for (int64_t first = 0; first < s.tiles(); first += chunk) {
      const int64_t count = std::min(chunk, s.tiles() - first);
#pragma omp for
      for (int64_t i = 0; i < count; ++i) {
        input_tile(s, x, first + i, v + i * in, chunk * in);
        gradient_tile(s, d_y, first + i, m + i * out, chunk * out);
      }
#pragma omp for collapse(2)
      for (int64_t k = 0; k < POINTS; ++k)
        for (int64_t p = 0; p < panels; ++p)
          product_of<true>(in, count, v + k * chunk * in, 1, in, m + k * chunk * out + p * PANEL, out,
                           d_u + k * in * out + p * PANEL, out);
    }
#pragma omp for
    for (int64_t i = 0; i < in; ++i)
      for (int64_t o = 0; o < out; o += LANES) {
        vec h[12], g[9];
        for (int b = 0; b < 4; ++b) {
          const float* from = d_u + (b * in + i) * out + o;
          const int64_t apart = 4 * in * out;
          const vec u0 = load(from), u1 = 0.5f * load(from + apart), u2 = 0.5f * load(from + 2 * apart);
          h[b] = u0 + u1 + u2;
          h[4 + b] = u1 - u2;
          h[8 + b] = u1 + u2 + load(from + 3 * apart);
        }
        for (int a = 0; a < 3; ++a) {
          const vec u0 = h[a * 4], u1 = 0.5f * h[a * 4 + 1], u2 = 0.5f * h[a * 4 + 2];
          g[a * 3] = u0 + u1 + u2;
          g[a * 3 + 1] = u1 - u2;
          g[a * 3 + 2] = u1 + u2 + h[a * 4 + 3];
        }
        for (int k = 0; k < 9; ++k)
          for (int64_t l = 0; l < LANES; ++l) d_w[((o + l) * 9 + k) * in + i] = g[k][l];
      }
  }
}

}  // extern "C"
