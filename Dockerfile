# The environment of `make setup` as an image. Build it with BuildKit, in a clone:
#
#   docker build -t sparx_mm .
#   docker build -t sparx_mm:cuda --build-arg VARIANT=cuda .
#
# docs/install.md says how to run it.
ARG VARIANT=cpu

FROM ubuntu:24.04 AS base-cpu
ENV SPARX_MM_CUDA_ARCHS=

# nvcc of the CUDA version that torch 2.13.0 is made with
FROM nvidia/cuda:13.0.2-devel-ubuntu24.04 AS base-cuda
ARG CUDA_ARCHS="8.0;8.6;8.9;9.0+PTX"
# the machine that builds an image need not have the GPU that runs it
ENV SPARX_MM_CUDA_ARCHS=${CUDA_ARCHS}

FROM base-${VARIANT}
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates g++ git make python3.12 python3.12-dev python3.12-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /sparx_mm
COPY . .
# pip's settings for the build alone, such as an index with torch for the CPU
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# how many compilers of mmcv run at a time, if not as many as cores and memory allow
ARG MAX_JOBS
ENV PYTHON=python3.12
# the caches keep downloads and the compiled mmcv from one build to the next
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=cache,target=/root/.cache/sparx_mm \
    make setup
ENV PATH=/sparx_mm/.venv/bin:${PATH}
CMD ["bash"]
