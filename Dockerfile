# syntax=docker/dockerfile:1
# For CPUs:
#   docker build -t simipu .
# For NVIDIA GPUs, from an image with the CUDA compiler of the version that torch is built for:
#   docker build -t simipu --build-arg BASE=nvidia/cuda:13.0.2-devel-ubuntu22.04 --build-arg FORCE_CUDA=1 .
# Then
#   docker run --rm -it --gpus all --shm-size 8g -v /path/to/kitti:/data simipu \
#       train simipu::simipu_kitti.py --data-root /data --work-dir /data/work_dir
ARG BASE=debian:bookworm-slim
FROM ${BASE}

# hadolint ignore=DL3008  (the base image decides the versions)
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        g++ python3.11 python3.11-dev python3.11-venv \
    && rm -rf /var/lib/apt/lists/*

# mmcv compiles operators for GPUs, too, where FORCE_CUDA is 1: there is no GPU to be found while an image is built.
ARG FORCE_CUDA=0
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;8.9;9.0+PTX"
# pip's own variables, for a mirror, a CPU build of torch, or a ready wheel of mmcv.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS

WORKDIR /opt/simipu
COPY . .
# The mmcv that was compiled is kept, so that a changed file of the project does not mean to compile it again.
RUN --mount=type=cache,target=/root/.cache bash tools/install.sh

ENV PATH=/opt/simipu/.venv/bin:$PATH
# Inputs are read and outputs written relative to the folder that the container is started in.
WORKDIR /workspace
ENTRYPOINT ["simipu"]
CMD ["--help"]
