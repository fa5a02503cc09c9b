// Group normalisation, a scale and shift of every channel, and SiLU, in one pass over memory each way.
//
// Tensors are float32 with channels last: x[n][p][c], p a position of the feature map. What is small is copied to the
// stack of the thread that works on one image and one range of whole groups. Loops run over channels, so that they
// vectorise whatever the size of a group. OpenMP is the one that torch has loaded: nothing is linked here.
//
//   h = (x - mean) rstd gamma + beta        mean, rstd of the group
//   u = h (1 + scale) + shift               scale_shift[n][2 C], or null
//   y = u sigmoid(u)                        if silu, else u

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

// e^x to two units in the last place, in operations that vectorise; NaN stays NaN.
inline float exponential(float x) {
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  const float n = std::floor(x * 1.44269504f + 0.5f);
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  union { int32_t bits; float value; } power;
  power.bits = (static_cast<int32_t>(n) + 127) << 23;
  return p * power.value;
}

inline float sigmoid(float u) { return 1.0f / (1.0f + exponential(-u)); }

// Which channels one task works on: whole groups, so few that the `arrays` it walks stay in a core's cache between
// its passes, and in so many parts that every thread has work where images are few.
struct Split {
  int64_t parts, groups_a_part;
  Split(int64_t images, int64_t channels, int64_t positions, int64_t groups, int64_t threads, int64_t arrays) {
    const int64_t cache = 1 << 20, line = 64 / sizeof(float);
    const int64_t bytes = arrays * channels * positions * static_cast<int64_t>(sizeof(float));
    int64_t wanted = (bytes + cache - 1) / cache;
    if (images < threads) wanted = std::max(wanted, (threads + images - 1) / images);
    wanted = std::max<int64_t>(1, std::min({wanted, groups, channels / line}));
    groups_a_part = (groups + wanted - 1) / wanted;
    parts = (groups + groups_a_part - 1) / groups_a_part;
  }
};

}  // namespace

extern "C" void norm_silu_forward(
    const float* x, const float* gamma, const float* beta, const float* scale_shift, int64_t scale_shift_stride,
    float* y, float* mean, float* rstd, int64_t images, int64_t channels, int64_t positions, int64_t groups, float eps,
    int64_t silu, int64_t threads) {
  const int64_t size = channels / groups;
  const Split split(images, channels, positions, groups, threads, 2);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t task = 0; task < images * split.parts; ++task) {
    const int64_t n = task / split.parts;
    const int64_t first = (task % split.parts) * split.groups_a_part;
    const int64_t count = (std::min(groups, first + split.groups_a_part) - first) * size;
    const int64_t offset = first * size;
    const float* image = x + n * positions * channels + offset;
    float* out = y + n * positions * channels + offset;
    std::vector<float> buffer(2 * count);
    float* a = buffer.data();
    float* k = a + count;
    for (int64_t p = 0; p < positions; ++p) {
      const float* row = image + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) a[c] += row[c];
    }
    for (int64_t g = 0; g < count / size; ++g) {
      float sum = 0;
      for (int64_t c = 0; c < size; ++c) sum += a[g * size + c];
      sum /= static_cast<float>(size * positions);
      mean[n * groups + first + g] = sum;
      for (int64_t c = 0; c < size; ++c) a[g * size + c] = sum;
    }
    for (int64_t p = 0; p < positions; ++p) {
      const float* row = image + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) k[c] += (row[c] - a[c]) * (row[c] - a[c]);
    }
    for (int64_t g = 0; g < count / size; ++g) {
      float sum = 0;
      for (int64_t c = 0; c < size; ++c) sum += k[g * size + c];
      const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(size * positions) + eps);
      rstd[n * groups + first + g] = inverse;
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        const float factor = inverse * gamma[offset + c];
        k[c] = beta[offset + c] - a[c] * factor;
        a[c] = factor;
        if (scale_shift) {
          const float* given = scale_shift + n * scale_shift_stride + offset;
          const float scale = 1.0f + given[c];
          a[c] *= scale;
          k[c] = k[c] * scale + given[channels + c];
        }
      }
    }
    for (int64_t p = 0; p < positions; ++p) {
      const float* row = image + p * channels;
      float* written = out + p * channels;
      if (silu) {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) {
          const float u = row[c] * a[c] + k[c];
          written[c] = u * sigmoid(u);
        }
      } else {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) written[c] = row[c] * a[c] + k[c];
      }
    }
  }
}

// d_gamma and d_beta are given for every image, [n][c], for the caller to sum.
extern "C" void norm_silu_backward(
    const float* d_y, const float* x, const float* gamma, const float* beta, const float* scale_shift,
    int64_t scale_shift_stride, const float* mean, const float* rstd, float* d_x, float* d_gamma, float* d_beta,
    float* d_scale_shift, int64_t images, int64_t channels, int64_t positions, int64_t groups, int64_t silu,
    int64_t threads) {
  const int64_t size = channels / groups;
  const Split split(images, channels, positions, groups, threads, 3);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t task = 0; task < images * split.parts; ++task) {
    const int64_t n = task / split.parts;
    const int64_t first = (task % split.parts) * split.groups_a_part;
    const int64_t count = (std::min(groups, first + split.groups_a_part) - first) * size;
    const int64_t offset = first * size;
    const int64_t start = n * positions * channels + offset;
    // r, m: x-hat = x r - m. w: d x-hat / d u. a, k: u = x a + k. s1, s2: sums of du and of du x-hat.
    std::vector<float> buffer(7 * count);
    float *r = buffer.data(), *m = r + count, *w = m + count, *a = w + count, *k = a + count, *s1 = k + count,
          *s2 = s1 + count;
    for (int64_t c = 0; c < count; ++c) {
      const int64_t g = n * groups + first + c / size;
      const float scale = scale_shift ? 1.0f + scale_shift[n * scale_shift_stride + offset + c] : 1.0f;
      const float shift = scale_shift ? scale_shift[n * scale_shift_stride + channels + offset + c] : 0.0f;
      r[c] = rstd[g];
      m[c] = mean[g] * rstd[g];
      w[c] = gamma[offset + c] * scale;
      a[c] = r[c] * w[c];
      k[c] = (beta[offset + c]) * scale + shift - m[c] * w[c];
    }
    for (int64_t p = 0; p < positions; ++p) {
      const float* row = x + start + p * channels;
      const float* above = d_y + start + p * channels;
      float* du = d_x + start + p * channels;
      if (silu) {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) {
          const float u = row[c] * a[c] + k[c];
          const float s = sigmoid(u);
          const float d = above[c] * s * (1.0f + u * (1.0f - s));
          du[c] = d;
          s1[c] += d;
          s2[c] += d * (row[c] * r[c] - m[c]);
        }
      } else {
#pragma omp simd
        for (int64_t c = 0; c < count; ++c) {
          du[c] = above[c];
          s1[c] += above[c];
          s2[c] += above[c] * (row[c] * r[c] - m[c]);
        }
      }
    }
    for (int64_t c = 0; c < count; ++c) {
      const float scale = scale_shift ? 1.0f + scale_shift[n * scale_shift_stride + offset + c] : 1.0f;
      d_gamma[n * channels + offset + c] = scale * s2[c];
      d_beta[n * channels + offset + c] = scale * s1[c];
      if (d_scale_shift) {
        d_scale_shift[n * 2 * channels + offset + c] = gamma[offset + c] * s2[c] + beta[offset + c] * s1[c];
        d_scale_shift[n * 2 * channels + channels + offset + c] = s1[c];
      }
    }
    // d x = r (w du - mean(w du) - x-hat mean(w du x-hat)), as du a - x f - e with f and e of the group.
    const float each = 1.0f / static_cast<float>(size * positions);
    for (int64_t g = 0; g < count / size; ++g) {
      float mean1 = 0, mean2 = 0;
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        mean1 += w[c] * s1[c];
        mean2 += w[c] * s2[c];
      }
      mean1 *= each;
      mean2 *= each;
      for (int64_t c = g * size; c < (g + 1) * size; ++c) {
        s2[c] = r[c] * r[c] * mean2;
        s1[c] = r[c] * (mean1 - m[c] * mean2);
      }
    }
    for (int64_t p = 0; p < positions; ++p) {
      const float* row = x + start + p * channels;
      float* du = d_x + start + p * channels;
#pragma omp simd
      for (int64_t c = 0; c < count; ++c) du[c] = du[c] * a[c] - row[c] * s2[c] - s1[c];
    }
  }
}
