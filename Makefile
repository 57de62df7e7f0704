# make run: set up and train the Fashion-MNIST example.   make test: set up and run every test.   make help: the rest.
SHELL := bash
LEVELS ?=

.PHONY: help setup run test check e2e e2e-long agreement crash-points soak kills bench bench-codecs bench-codec-accuracy bench-hosts bench-exchange bench-snapshots bench-trace bench-operator clean
help:
	@echo "make run      set up, then train examples/fashion-mnist with two workers and one parameter server"
	@echo "make test     set up, then run every test (LEVELS='unit native' for some of: check native unit process api-server e2e examples sanitize)"
	@echo "make setup    install what is needed and compile the engine"
	@echo "make check    format, lint, types, dead code, arrows, freshness of generated files"
	@echo "make e2e      make a cluster of two nodes, install the chart, train on it (root on Linux)"
	@echo "make agreement    what zod and a real API server think of 10,000 random manifests"
	@echo "make crash-points    kill the operator's process before and after every write of every story (some 10 minutes)"
	@echo "make e2e-long    make e2e with the operator away for ten minutes"
	@echo "make soak     64 MiB both ways for half an hour while workers come and go (SECONDS_EACH=900 for each of two transports)"
	@echo "make kills    kill -9 of workers, servers and the coordinator, 200 times (LEPTON_KILLS=200)"
	@echo "make bench    compare the engine's speed with PyTorch (installs it into the cache, about 5 GB)"
	@echo "make bench-codecs    measure the gradient codecs on one processor"
	@echo "make bench-codec-accuracy    accuracy on Fashion-MNIST with each gradient codec, over three seeds"
	@echo "make bench-hosts    modes and codecs over a cable of 100 Mbit/s, and with one worker three times slower (root on Linux)"
	@echo "make bench-exchange    compare the gradient exchange and training by several workers with torch.distributed over gloo"
	@echo "make bench-snapshots    measure what it costs that a killed server's memory is kept, and the stall of a checkpoint"
	@echo "make bench-trace    measure what lepton run --trace costs (some 5 minutes)"
	@echo "make bench-operator    measure the operator at scale, on a real API server with kwok's nodes, beside batch/v1 Jobs (root on Linux)"
	@echo "make clean    remove build/ and runs/ (the cache stays: LEPTON_CACHE or ~/.cache/lepton)"

setup:
	@scripts/setup.sh

run: setup
	@bin/lepton run examples/fashion-mnist/leptonjob.yaml --set data.train.uri="file://$$(scripts/datasets.sh)" --set data.evaluate.uri="file://$$(scripts/datasets.sh)"

test: setup
	@scripts/test.sh $(LEVELS)

check: setup
	@scripts/check.sh

e2e: setup
	@scripts/test.sh e2e

agreement: setup
	@. scripts/environment.sh && LEPTON_RANDOM_MANIFESTS=10000 "$$LEPTON_NODE" --test --test-reporter=spec test/api-server/agreement.test.ts

crash-points: setup
	@. scripts/environment.sh && LEPTON_CRASH_POINTS=processes "$$LEPTON_NODE" --test --test-reporter=spec test/api-server/crash-points.test.ts

e2e-long: setup
	@LEPTON_OPERATOR_AWAY_SECONDS=600 scripts/test.sh e2e

SECONDS_EACH ?= 900
soak: setup
	@. scripts/environment.sh && LEPTON_SOAK_SECONDS=$(SECONDS_EACH) "$$LEPTON_NODE" --test --test-reporter=spec test/process/soak.test.ts

kills: setup
	@. scripts/environment.sh && LEPTON_KILLS=$${LEPTON_KILLS:-200} "$$LEPTON_NODE" --test --test-reporter=spec test/process/kills.test.ts

bench: setup
	@bench/run.sh

bench-codecs: setup
	@. scripts/environment.sh && "$$LEPTON_NODE" bench/codecs.ts

bench-codec-accuracy: setup
	@. scripts/environment.sh && "$$LEPTON_NODE" bench/codec-accuracy.ts 3

bench-hosts: setup
	@. scripts/environment.sh && test/cluster/cluster.sh "$$LEPTON_NODE" bench/two-hosts.ts "$$(scripts/datasets.sh)"

bench-exchange: setup
	@bench/run.sh exchange

bench-snapshots: setup
	@. scripts/environment.sh && "$$LEPTON_NODE" bench/snapshots.ts

bench-trace: setup
	@. scripts/environment.sh && "$$LEPTON_NODE" bench/trace-cost.ts

bench-operator: setup
	@. scripts/environment.sh && test/cluster/cluster.sh "$$LEPTON_NODE" bench/operator.ts

clean:
	rm -rf build runs
