# The image of the service. Nothing is installed that requirements.lock does not name by its hash.
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /src
COPY requirements.lock ./
# Every locked distribution, checked against its hash; what follows takes packages from this folder only.
RUN pip download --no-cache-dir --require-hashes --only-binary=:all: --dest /wheels --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY scheduler ./scheduler
COPY manifests ./manifests
COPY tools/controlplane ./tools/controlplane
RUN pip wheel --no-cache-dir --no-index --find-links /wheels --no-deps --wheel-dir /wheels .
# Without the dev extra: what the service needs to run, and no tool.
RUN python -m venv /opt/bayplan \
 && /opt/bayplan/bin/pip install --no-cache-dir --no-index --find-links /wheels bayplan \
 && /opt/bayplan/bin/pip uninstall --yes pip

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="Bayplan" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/bayplan /opt/bayplan
ENV PATH=/opt/bayplan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The number that the Deployment's runAsUser names; it needs no entry in /etc/passwd.
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["bayplan"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--grpc-listen", "0.0.0.0:9090"]
