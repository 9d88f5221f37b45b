# docker build -t focaldet .                                   for CPUs
# docker build -t focaldet --build-arg BASE=pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime .
#
# Workers of the loader hand batches over in /dev/shm, of which a container has 64 MB:
#   docker run --gpus all --shm-size 8g -v "$PWD:/data" focaldet train data=/data/export run.folder=/data/runs
# (or --ipc=host; or train.workers=0, which needs none).
ARG BASE=python:3.12-slim
FROM ${BASE}

# OpenCV's wheels want these of the system; which version there is depends on BASE.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

# A base without torch gets the build for CPUs: the default index would bring 5 GB of CUDA.
RUN python -c "import torch" 2>/dev/null \
    || pip install --no-cache-dir "torch>=2.6" "torchvision>=0.21" --index-url https://download.pytorch.org/whl/cpu

COPY . /opt/focaldet
RUN pip install --no-cache-dir "/opt/focaldet[export]"

ENV OMP_WAIT_POLICY=PASSIVE
WORKDIR /data
ENTRYPOINT ["focaldet"]
CMD ["--help"]
