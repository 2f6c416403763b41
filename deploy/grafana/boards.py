"""What is drawn: overview, events, cases and limits, disbursement.

Gauges measured from a database are the same on every replica: ``max``, never ``sum``, over them.
"""

from __future__ import annotations

from deploy.grafana.panels import Board, Panel, Query, Row

RED = ((1, "red"),)


def figures(
    title: str, *gauges: tuple[str, str], must_be_zero: bool = False, width: int = 6
) -> Panel:
    """Numbers of today, one beside the other: gauges measured from a database, with their names."""
    return Panel(
        title,
        tuple(Query(f"max({gauge})", name) for gauge, name in gauges),
        kind="stat",
        thresholds=RED if must_be_zero else (),
        width=width,
    )


OVERVIEW = Board(
    "overview",
    "总览",
    (
        Row(
            "服务目标",
            (
                Panel(
                    "余量消耗的速度（1 小时；大于 1 撑不到月底）",
                    (
                        Query(
                            "slo:sli_error:ratio_rate1h / on (slo) slo:error_budget:ratio",
                            "{{slo}}",
                        ),
                    ),
                    width=16,
                    note="各目标的含义见 docs/runbooks/ServiceLevelBurnsFast.md",
                ),
                Panel(
                    "正在告警",
                    (
                        Query(
                            'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                            "{{alertname}}",
                        ),
                    ),
                    kind="table",
                    width=8,
                ),
            ),
        ),
        Row(
            "请求",
            (
                Panel(
                    "每秒请求（按结果）",
                    (
                        Query(
                            "sum by (service, outcome) (rate(zhida_requests_total[5m]))",
                            "{{service}} {{outcome}}",
                        ),
                    ),
                    "reqps",
                ),
                Panel(
                    "请求耗时 p99",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (service, le)"
                            " (rate(zhida_request_duration_seconds_bucket[5m])))",
                            "{{service}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "页面耗时 p95",
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (method, le)"
                            " (rate(zhida_portal_request_seconds_bucket[5m])))",
                            "{{method}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "正在处理",
                    (
                        Query("sum by (service) (zhida_requests_in_flight)", "{{service}}"),
                        Query("sum(zhida_portal_requests_in_flight)", "portal"),
                    ),
                ),
            ),
        ),
        Row(
            "进程",
            (
                Panel(
                    "在线",
                    (Query('up{job=~"zhida|rabbitmq"}', "{{instance}}"),),
                    kind="stat",
                    width=8,
                ),
                Panel(
                    "版本与库结构",
                    (
                        Query("count by (version) (zhida_build_info)", "{{version}}"),
                        Query(
                            "count by (service, revision) (zhida_schema_info)",
                            "{{service}} {{revision}}",
                        ),
                    ),
                    kind="table",
                    width=8,
                ),
                Panel(
                    "处理器（核）",
                    (Query('rate(process_cpu_seconds_total{job="zhida"}[5m])', "{{instance}}"),),
                    width=8,
                ),
                Panel(
                    "内存",
                    (Query('process_resident_memory_bytes{job="zhida"}', "{{instance}}"),),
                    "bytes",
                    width=8,
                ),
                Panel(
                    "打开的文件占上限",
                    (
                        Query(
                            'process_open_fds{job="zhida"} / process_max_fds{job="zhida"}',
                            "{{instance}}",
                        ),
                    ),
                    "percentunit",
                    width=8,
                ),
                Panel(
                    "工作者与数据库连接占上限",
                    (
                        Query("zhida_workers_busy / zhida_workers_max", "{{service}} 工作者"),
                        Query(
                            "zhida_database_connections_used / zhida_database_connections_max",
                            "{{service}} 连接",
                        ),
                    ),
                    "percentunit",
                    width=8,
                ),
                Panel(
                    "事件循环迟到 p99",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (service, le)"
                            " (rate(zhida_hub_lag_seconds_bucket[5m])))",
                            "{{service}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "占住事件循环（每小时次数）",
                    (
                        Query(
                            "sum by (service) (increase(zhida_hub_held_total[1h]))",
                            "{{service}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "定时任务",
            (
                Panel(
                    "失败（每 15 分钟）",
                    (
                        Query(
                            "sum by (service, timer)"
                            ' (increase(zhida_timer_runs_total{outcome="failed"}[15m]))',
                            "{{service}} {{timer}}",
                        ),
                    ),
                ),
                Panel(
                    "用时占比",
                    (
                        Query(
                            "sum by (service, timer) (rate(zhida_timer_seconds_total[5m]))",
                            "{{service}} {{timer}}",
                        ),
                    ),
                    "percentunit",
                ),
            ),
        ),
    ),
)

EVENTS = Board(
    "events",
    "事件与死信",
    (
        Row(
            "从改动到生效",
            (
                Panel(
                    "生效用时 p99（按通道）",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (lane, le)"
                            " (rate(zhida_event_delay_seconds_bucket[5m])))",
                            "{{lane}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "10 秒内生效的比例（逐件办理）",
                    (
                        Query(
                            "sum(rate(zhida_event_delay_seconds_bucket"
                            '{lane="interactive", le="10.0"}[5m]))'
                            ' / sum(rate(zhida_event_delay_seconds_count{lane="interactive"}[5m]))',
                            "10 秒内",
                        ),
                    ),
                    "percentunit",
                ),
            ),
        ),
        Row(
            "发出",
            (
                Panel(
                    "每秒发布",
                    (
                        Query(
                            "sum by (service) (rate(zhida_events_published_total[5m]))",
                            "{{service}}",
                        ),
                    ),
                    "cps",
                    width=8,
                ),
                Panel(
                    "发件箱",
                    (Query("max by (service) (zhida_outbox_pending)", "{{service}}"),),
                    width=8,
                ),
                Panel(
                    "发件箱最早一条的等待",
                    (Query("max by (service) (zhida_outbox_oldest_seconds)", "{{service}}"),),
                    "s",
                    width=8,
                ),
                Panel(
                    "转发者（每个服务应为 1）",
                    (Query("sum by (service) (zhida_relay_active)", "{{service}}"),),
                    kind="stat",
                    width=8,
                ),
            ),
        ),
        Row(
            "生效",
            (
                Panel(
                    "每秒生效",
                    (
                        Query(
                            "sum by (subscription) (rate(zhida_events_applied_total[5m]))",
                            "{{subscription}}",
                        ),
                    ),
                    "cps",
                ),
                Panel(
                    "一批的用时 p99",
                    (
                        Query(
                            "histogram_quantile(0.99, sum by (subscription, le)"
                            " (rate(zhida_event_batch_duration_seconds_bucket[5m])))",
                            "{{subscription}}",
                        ),
                    ),
                    "s",
                ),
                Panel(
                    "重试与重复（每分钟）",
                    (
                        Query(
                            "60 * sum by (subscription) (rate(zhida_event_retries_total[5m]))",
                            "{{subscription}} 重试",
                        ),
                        Query(
                            "60 * sum by (subscription) (rate(zhida_inbox_duplicates_total[5m]))",
                            "{{subscription}} 重复",
                        ),
                    ),
                ),
                Panel(
                    "断开的订阅",
                    (
                        Query(
                            "max by (subscription) (zhida_consumer_connected) == 0",
                            "{{subscription}}",
                        ),
                    ),
                    kind="table",
                ),
            ),
        ),
        Row(
            "死信",
            (
                Panel(
                    "等待处理的死信",
                    (
                        Query(
                            "sum by (queue)"
                            ' (rabbitmq_detailed_queue_messages{queue=~".*[.]dead"}) > 0',
                            "{{queue}}",
                        ),
                    ),
                    kind="table",
                ),
                Panel(
                    "新的死信（每小时）",
                    (
                        Query(
                            "sum by (subscription) (increase(zhida_dead_letters_total[1h]))",
                            "{{subscription}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "消息总线",
            (
                Panel(
                    "最长的十个队列",
                    (
                        Query(
                            "topk(10, sum by (queue) (rabbitmq_detailed_queue_messages"
                            '{queue!~".*[.](archive|published|dead)"}))',
                            "{{queue}}",
                        ),
                    ),
                ),
                Panel(
                    "外部门的队列",
                    (
                        Query(
                            "sum by (queue)"
                            ' (rabbitmq_detailed_queue_messages{queue=~"bureau[.].*"})',
                            "{{queue}}",
                        ),
                    ),
                ),
                Panel(
                    "可用磁盘与水位",
                    (
                        Query("min(rabbitmq_disk_space_available_bytes)", "可用"),
                        Query("max(rabbitmq_disk_space_available_limit_bytes)", "水位"),
                    ),
                    "bytes",
                ),
                Panel(
                    "总线报警",
                    (
                        Query("max(rabbitmq_alarms_free_disk_space_watermark)", "磁盘"),
                        Query("max(rabbitmq_alarms_memory_used_watermark)", "内存"),
                        Query("max(rabbitmq_alarms_file_descriptor_limit)", "文件数"),
                        Query(
                            "sum(increase(rabbitmq_global_messages_unroutable_dropped_total[1h]))",
                            "无处可去",
                        ),
                    ),
                    kind="stat",
                    thresholds=RED,
                ),
            ),
        ),
    ),
)

CASES = Board(
    "cases",
    "案件与时限",
    (
        Row(
            "案件",
            (
                Panel(
                    "在办案件（按状态）",
                    (Query("max by (state) (zhida_cases_open)", "{{state}}"),),
                ),
                Panel(
                    "距时限",
                    (Query("max by (limit) (zhida_cases_by_limit)", "{{limit}}"),),
                    note="passed 已超期，near 已提醒，far 尚早",
                ),
                figures(
                    "已超期", ('zhida_cases_by_limit{limit="passed"}', "件"), must_be_zero=True
                ),
                Panel(
                    "工作日历（1 为已装载通知）",
                    (Query("max by (year) (zhida_calendar_published)", "{{year}}"),),
                    kind="stat",
                    width=6,
                ),
                Panel(
                    "每小时办理",
                    (
                        Query(
                            "sum by (method) (increase(zhida_requests_total"
                            '{service="cases", method=~"accept_application|decide|'
                            'open_publicity|give_opinion|record_investigation", outcome="ok"}'
                            "[1h]))",
                            "{{method}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "人与责任",
            (
                Panel(
                    "在册与在享",
                    (
                        Query("max(zhida_registry_people)", "在册"),
                        Query("max(zhida_registry_beneficiaries)", "在享"),
                    ),
                ),
                figures(
                    "责任人够不到的人",
                    ("zhida_registry_uncovered_people", "人"),
                    must_be_zero=True,
                ),
                figures(
                    "等待中",
                    ("zhida_registry_notices_waiting", "外部门通知"),
                    ("zhida_registry_account_changes_waiting", "账户变更"),
                ),
            ),
        ),
        Row(
            "告知",
            (
                Panel(
                    "消息（按状态）",
                    (Query("max by (status) (zhida_notify_messages)", "{{status}}"),),
                ),
                Panel(
                    "24 小时内结束的消息",
                    (Query("max by (status) (zhida_notify_finished)", "{{status}}"),),
                    kind="bargauge",
                ),
                Panel(
                    "每秒发送（按结果）",
                    (
                        Query(
                            "sum by (outcome) (rate(zhida_notify_attempts_total[5m]))",
                            "{{outcome}}",
                        ),
                    ),
                ),
                figures(
                    "最早一条待发与平台",
                    ("zhida_notify_oldest_waiting_seconds", "等待（秒）"),
                    ("zhida_notify_gateway_up", "平台在线"),
                    width=12,
                ),
            ),
        ),
    ),
)

MONEY = Board(
    "disbursement",
    "发放",
    (
        Row(
            "对账与按时",
            (
                figures(
                    "五个数之差（分；必须为 0）",
                    ("zhida_funding_reconciliation_difference_fen", "分"),
                    must_be_zero=True,
                    width=8,
                ),
                figures(
                    "到期未到账的待遇",
                    ("zhida_funding_benefits_late", "未到账"),
                    ("zhida_funding_benefits_expected", "应发"),
                    width=8,
                ),
                Panel(
                    "未清款项（元）",
                    (
                        Query("max(zhida_funding_owed_fen) / 100", "应发未付"),
                        Query("max(zhida_funding_to_recover_fen) / 100", "待追回"),
                    ),
                    "currencyCNY",
                    width=8,
                ),
            ),
        ),
        Row(
            "批次",
            (
                Panel(
                    "未结批次的付款（按状态）",
                    (Query("max by (state) (zhida_funding_payments)", "{{state}}"),),
                ),
                Panel(
                    "本月批次金额（元，按状态）",
                    (Query("max by (state) (zhida_funding_month_fen) / 100", "{{state}}"),),
                    "currencyCNY",
                ),
            ),
        ),
        Row(
            "预算",
            (
                Panel(
                    "预算余额（元）",
                    (
                        Query(
                            "max by (year, benefit) (zhida_funding_budget_left_fen) / 100",
                            "{{year}} {{benefit}}",
                        ),
                    ),
                    "currencyCNY",
                    width=24,
                ),
            ),
        ),
    ),
)

BOARDS = (OVERVIEW, EVENTS, CASES, MONEY)
