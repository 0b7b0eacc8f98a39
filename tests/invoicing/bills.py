"""Bills in the shapes that the vendors give them, small."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

OPENAI_JSON = json.dumps(
    {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": 1790812800,  # 2026-10-01 UTC
                "end_time": 1790899200,
                "results": [
                    {
                        "object": "organization.costs.result",
                        "amount": {"value": 0.06, "currency": "usd"},
                        "line_item": "gpt-4o-mini-2024-07-18, input",
                        "project_id": "proj_abc",
                    },
                    {
                        "object": "organization.costs.result",
                        "amount": {"value": 0.1234567891234, "currency": "usd"},
                        "line_item": "gpt-4o-mini-2024-07-18, output",
                        "project_id": "proj_abc",
                    },
                ],
            },
            {
                "object": "bucket",
                "start_time": 1790899200,
                "end_time": 1790985600,
                "results": [
                    {
                        "object": "organization.costs.result",
                        "amount": {"value": 2, "currency": "usd"},
                        "line_item": "whisper-1",
                        "project_id": None,
                    }
                ],
            },
        ],
        "has_more": False,
        "next_page": None,
    }
).encode()

OPENAI_CSV = (
    b"start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,"
    b"project_id,project_name,organization_id\n"
    b"1790812800,1790899200,2026-10-01T00:00:00+00:00,2026-10-02T00:00:00+00:00,0.06,usd,"
    b'"gpt-4o-mini-2024-07-18, input",proj_abc,Default,org-1\n'
    b"1790812800,1790899200,2026-10-01T00:00:00+00:00,2026-10-02T00:00:00+00:00,1.5e-3,usd,"
    b'"gpt-4o-mini-2024-07-18, output",proj_abc,Default,org-1\n'
)

ANTHROPIC_JSON = json.dumps(
    {
        "data": [
            {
                "starting_at": "2026-10-01T00:00:00Z",
                "ending_at": "2026-10-02T00:00:00Z",
                "results": [
                    {
                        "currency": "USD",
                        "amount": "123.78912",
                        "workspace_id": None,
                        "description": "Claude Sonnet 4 Usage - Input Tokens",
                        "cost_type": "tokens",
                        "context_window": "0-200k",
                        "model": "claude-sonnet-4-20250514",
                        "service_tier": "standard",
                        "token_type": "uncached_input_tokens",
                    },
                    {
                        "currency": "USD",
                        "amount": "30",
                        "workspace_id": None,
                        "description": "Web Search Usage",
                        "cost_type": "web_search",
                        "context_window": None,
                        "model": None,
                        "service_tier": None,
                        "token_type": None,
                    },
                ],
            }
        ],
        "has_more": False,
        "next_page": None,
    }
).encode()

ANTHROPIC_CSV = (
    b"usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,"
    b"cost_type\n"
    b"2026-10-01,claude-sonnet-4-20250514,Default,ci,standard,0-200k,input_no_cache,1.2378912,"
    b"token\n"
    b"2026-10-01,,Default,,standard,,,0.30,web_search\n"
)

AWS_CSV = (
    b"identity/LineItemId,bill/PayerAccountId,lineItem/LineItemType,lineItem/UsageStartDate,"
    b"lineItem/ProductCode,lineItem/UsageType,lineItem/UsageAmount,lineItem/CurrencyCode,"
    b"lineItem/UnblendedCost,lineItem/LineItemDescription,product/ProductName\n"
    b"a1,1234,Usage,2026-10-01T00:00:00Z,AmazonBedrock,USE1-Claude3Sonnet-input-tokens,1000,USD,"
    b"0.0030000000,$0.003 per 1K input tokens,Amazon Bedrock\n"
    b"a2,1234,Usage,2026-10-01T01:00:00Z,AmazonBedrock,USE1-Claude3Sonnet-output-tokens,100,USD,"
    b"0.0015000000,$0.015 per 1K output tokens,Amazon Bedrock\n"
    b"a3,1234,Usage,2026-10-01T00:00:00Z,AmazonEC2,BoxUsage:t3.micro,1,USD,0.0104,EC2,"
    b"Amazon Elastic Compute Cloud\n"
    b"a4,1234,Usage,2026-10-01T02:00:00Z,3hbwxt9z,MP:USE1_InputTokenCount-Units,7,USD,0.0210,"
    b"AWS Marketplace software usage,Claude 3.5 Sonnet (Amazon Bedrock Edition)\n"
    b"a5,1234,Tax,2026-10-01T00:00:00Z,AmazonBedrock,USE1-Claude3Sonnet-input-tokens,1,USD,0.19,"
    b"Tax for product code AmazonBedrock,Amazon Bedrock\n"
)

AZURE_CSV = (
    "﻿SubscriptionName,Date,MeterCategory,MeterSubCategory,MeterName,Quantity,"
    "CostInBillingCurrency,BillingCurrency,ChargeType\r\n"
    "Main,10/01/2026,Foundry Models,Azure OpenAI,gpt-4o-mini-0718-Inp-glbl Tokens,1000,0.15,EUR,"
    "Usage\r\n"
    "Main,10/02/2026,Foundry Models,Azure OpenAI,gpt 4o mini 0718 Output global Tokens,10,0.006,"
    "EUR,Usage\r\n"
    "Main,10/02/2026,Storage,Tables,LRS Data Stored,1,9.99,EUR,Usage\r\n"
).encode()


def aws_parquet() -> bytes:
    """CUR 2.0: other names for the same columns, the product as a map."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {
            "line_item_line_item_type": ["Usage", "Usage"],
            "line_item_usage_start_date": [
                datetime(2026, 10, 1, 3, tzinfo=UTC),
                datetime(2026, 10, 1, 4, tzinfo=UTC),
            ],
            "line_item_product_code": ["AmazonBedrock", "AmazonS3"],
            "line_item_usage_type": ["USE1-Claude3Haiku-input-tokens", "TimedStorage"],
            "line_item_usage_amount": [2.0, 1.0],
            "line_item_currency_code": ["USD", "USD"],
            "line_item_unblended_cost": [0.00025, 1.0],
            "line_item_line_item_description": ["tokens", "storage"],
            "product": pyarrow.array(
                [[("product_name", "Amazon Bedrock")], [("product_name", "Amazon S3")]],
                type=pyarrow.map_(pyarrow.string(), pyarrow.string()),
            ),
        }
    )
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def generic(*rows: str, head: str = "date,model,amount,currency") -> bytes:
    return "\n".join([head, *rows]).encode()
