"""What each engine shows at `/metrics`, short: names, labels and edges as their documentation and code have them."""

from __future__ import annotations

from collections.abc import Sequence

TTFT_EDGES_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0)
QUEUE_EDGES_S = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
SGLANG_EDGES_S = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0)
TGI_EDGES_S = tuple(0.0001 * 1.5**step for step in range(1, 36))
"""35 of them, each one and a half times the one before."""


def histogram(name: str, labels: str, edges: Sequence[float], latencies: Sequence[float]) -> str:
    """A histogram as a Prometheus client shows it: cumulative counts up to each edge, sum and count."""
    own = f"{labels}," if labels else ""
    lines = [f'{name}_bucket{{{own}le="{edge}"}} {sum(each <= edge for each in latencies)}.0' for edge in edges]
    lines.append(f'{name}_bucket{{{own}le="+Inf"}} {len(latencies)}.0')
    lines += [f"{name}_sum{{{labels}}} {sum(latencies)}", f"{name}_count{{{labels}}} {len(latencies)}.0"]
    return f"# HELP {name} Histogram.\n# TYPE {name} histogram\n" + "\n".join(lines) + "\n"


def vllm(
    latencies_s: Sequence[float] = (),
    waiting: int = 0,
    running: int = 0,
    usage: float = 0.0,
    started_s: float = 1_700_000_000.0,
    model: str = "meta-llama/Llama-3.1-8B-Instruct",
    usage_name: str = "vllm:kv_cache_usage_perc",
    waits_s: Sequence[float] | None = None,
) -> str:
    """As of version 0.9 and later, of an engine that has served requests with these times to the first token."""
    labels, served = f'engine="0",model_name="{model}"', len(latencies_s)
    return f"""# HELP python_info Python platform information
# TYPE python_info gauge
python_info{{implementation="CPython",major="3",minor="12"}} 1.0
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds {started_s}
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{labels}}} {running}.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{labels}}} {waiting}.0
# TYPE {usage_name} gauge
{usage_name}{{{labels}}} {usage}
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{{block_size="16",cache_dtype="auto",engine="0",num_cpu_blocks="None",num_gpu_blocks="573"}} 1.0
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{{{labels}}} {served // 10}.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{{{labels}}} {served * 300}.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{{labels}}} {served * 40}.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{{{labels},finished_reason="stop"}} {served - served // 5}.0
vllm:request_success_total{{{labels},finished_reason="length"}} {served // 5}.0
# TYPE vllm:spec_decode_num_draft_tokens_total counter
vllm:spec_decode_num_draft_tokens_total{{{labels}}} {served * 90}.0
# TYPE vllm:spec_decode_num_accepted_tokens_total counter
vllm:spec_decode_num_accepted_tokens_total{{{labels}}} {served * 60}.0
{histogram("vllm:time_to_first_token_seconds", labels, TTFT_EDGES_S, latencies_s)}{
        histogram("vllm:request_queue_time_seconds", labels, QUEUE_EDGES_S, latencies_s if waits_s is None else waits_s)
    }"""


def sglang(latencies_s: Sequence[float] = (), waiting: int = 0, running: int = 0, usage: float = 0.0) -> str:
    """As the documentation of 2026 has it, of one scheduler and one tokenizer."""
    model = 'model_name="meta-llama/Llama-3.1-8B-Instruct"'
    scheduler, served = f'engine_type="unified",moe_ep_rank="0",{model},pp_rank="0",tp_rank="0"', len(latencies_s)
    return f"""# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{{{scheduler}}} {running}.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{{{scheduler}}} {waiting}.0
# TYPE sglang:token_usage gauge
sglang:token_usage{{{scheduler}}} {usage}
# TYPE sglang:cache_config_info gauge
sglang:cache_config_info{{num_pages="4000",page_size="64"}} 1.0
# TYPE sglang:num_retracted_requests_total counter
sglang:num_retracted_requests_total{{{scheduler}}} {served // 10}.0
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{{{model}}} {served}.0
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{{{model}}} {served * 300}.0
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{{{model}}} {served * 40}.0
{histogram("sglang:time_to_first_token_seconds", model, SGLANG_EDGES_S, latencies_s)}{
        histogram("sglang:queue_time_seconds", scheduler, (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0), latencies_s)
    }"""


def tgi(latencies_s: Sequence[float] = (), waiting: int = 0, running: int = 0) -> str:
    """As of version 3.3: no labels, counters without a suffix."""
    served = len(latencies_s)
    return f"""# HELP tgi_queue_size Current queue size
# TYPE tgi_queue_size gauge
tgi_queue_size {waiting}

# TYPE tgi_batch_current_size gauge
tgi_batch_current_size {running}

# TYPE tgi_request_count counter
tgi_request_count {served + waiting + running}

# TYPE tgi_request_success counter
tgi_request_success {served}

{histogram("tgi_request_queue_duration", "", TGI_EDGES_S, latencies_s).replace("{}", "")}
{histogram("tgi_request_input_length", "", (100.0, 1000.0), [300.0] * served).replace("{}", "")}
{histogram("tgi_request_generated_tokens", "", (10.0, 100.0), [40.0] * served).replace("{}", "")}"""


def triton(latencies_s: Sequence[float] = (), waiting: int = 0, model: str = "asr_streaming") -> str:
    """As of version 2.71, with `--metrics-config histogram_latencies=true`."""
    labels, served = f'model="{model}",version="1"', len(latencies_s)
    edges = histogram("nv_inference_first_response_histogram_ms", labels, (100.0, 500.0, 2000.0, 5000.0), [
        each * 1_000 for each in latencies_s
    ])  # fmt: skip
    return f"""# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{{{labels}}} {served}
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{{{labels},reason="REJECTED"}} 0
# TYPE nv_inference_count counter
nv_inference_count{{{labels}}} {served}
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{{{labels}}} {-(-served // 4)}
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{{{labels}}} {waiting}
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{{{labels}}} {round(sum(latencies_s) * 1e6)}
{edges}"""


DCGM_BLANK = 9223372036854775794
"""What DCGM shows where it has no value."""


def dcgm(utilisations: Sequence[int] = (), pod: str = "") -> str:
    """As of version 4.8, of some GPUs."""
    lines = [
        f'DCGM_FI_DEV_GPU_UTIL{{gpu="{gpu}",UUID="GPU-0000-{gpu}",pci_bus_id="00000000:0{gpu}:00.0",device="nvidia{gpu}",'
        f'modelName="NVIDIA H100",hostname="gpu-07",container="vllm",namespace="serving",pod="{pod}"}} {value}'
        for gpu, value in enumerate(utilisations)
    ]
    return "# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n" + "\n".join(
        [*lines, 'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-0000-0"} 61', ""]
    )
