# Two images that include the network and need no GPU. From the root of the repository:
#
#     docker build --target features --tag stratonet-features .
#     docker build --target cellprofiler --tag stratonet-cellprofiler .
#
#     docker run --rm --volume "$PWD:/data" --user "$(id -u)" stratonet-features \
#         stratonet extract images --output features
#
# There is no ENTRYPOINT: Nextflow and Apptainer run a shell in the image.

FROM python:3.10-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .


FROM python:3.10-slim-bookworm AS features
# Nextflow reads the memory of its tasks with ps.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends procps=2:* \
    && rm -rf /var/lib/apt/lists/*
# The tests of the libraries take a hundred megabytes, and are removed.
RUN --mount=type=bind,source=requirements,target=/requirements \
    pip install --no-cache-dir --no-deps --require-hashes \
        --requirement /requirements/container.txt \
    && find /usr/local/lib -depth -type d -name tests -exec rm -r {} +
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir --no-deps /wheel/*.whl
# The user may have no home folder: --user takes any number.
ENV MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
RUN useradd --create-home --uid 1000 stratonet
USER 1000
WORKDIR /data
CMD ["stratonet", "--help"]


# CellProfiler has its own pins, for Python 3.9, and is partly compiled.
FROM python:3.9-slim-bookworm AS compiled
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        g++=4:* gcc=4:* libmariadb-dev=1:* openjdk-17-jdk-headless=17.* \
    && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,source=requirements,target=/requirements \
    python -m venv /opt/cellprofiler \
    && PIP_CONSTRAINT=/requirements/build.constraints /opt/cellprofiler/bin/pip install \
        --no-cache-dir --no-deps --require-hashes \
        --requirement /requirements/cellprofiler.txt
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    /opt/cellprofiler/bin/pip install --no-cache-dir --no-deps /wheel/*.whl


FROM python:3.9-slim-bookworm AS cellprofiler
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        libmariadb3=1:* openjdk-17-jre-headless=17.* procps=2:* \
    && rm -rf /var/lib/apt/lists/*
COPY --from=compiled /opt/cellprofiler /opt/cellprofiler
ENV PATH=/opt/cellprofiler/bin:$PATH MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --create-home --uid 1000 stratonet
USER 1000
WORKDIR /data
CMD ["stratonet", "--help"]
