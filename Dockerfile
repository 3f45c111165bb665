# bpr on a CPU. Build: docker build -t bpr .
# Run: docker run --rm -v "$PWD:/data" bpr refine masks/ --images images/ --out refined/
FROM python:3.12-slim-bookworm

# OpenCV needs these two libraries.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

# The CPU build of PyTorch, first and in a layer of its own: it is large and rarely changes.
RUN pip install --no-cache-dir uv \
    && uv pip install --system --no-cache --torch-backend cpu "torch>=2.6"

COPY pyproject.toml README.md LICENSE /bpr/
COPY bpr_cli /bpr/bpr_cli
COPY weights /bpr/weights
RUN uv pip install --system --no-cache --torch-backend cpu "/bpr[openvino]"

# With --user, output belongs to whoever runs the container; caches need a place that everyone may write to.
ENV XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /data
ENTRYPOINT ["bpr"]
CMD ["--help"]
