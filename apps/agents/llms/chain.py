"""An agent's model, built from its entries of `llms`; what a response of it cost; and how to close it.

A built model owns its HTTP clients: close it with `aclose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from pydantic_ai.exceptions import ModelQuotaExceededError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from apps.agents import registry
from apps.agents.errors import classify


class PricedModel(WrapperModel):
    """A model whose responses cost what the document says instead of what the public price list does."""

    def __init__(self, wrapped: Model, price: registry.Price) -> None:
        super().__init__(wrapped)
        self._price = price

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        response = await super().request(messages, model_settings, model_request_parameters)
        usage = response.usage
        usage.cost = (
            Decimal(str(self._price.input)) * usage.input_tokens
            + Decimal(str(self._price.output)) * usage.output_tokens
        ) / 1_000_000
        return response


def build(spec: registry.LLMSpec, context: registry.BuildContext) -> Model:
    model = registry.providers[spec.provider].build(spec, context)
    return PricedModel(model, spec.price) if spec.price else model


def build_chain(llms: Sequence[registry.LLMSpec], context: registry.BuildContext) -> Model:
    """The first model, and the others in its place while it fails in a way that may pass or has no quota left."""
    models = [build(spec, context) for spec in llms]
    return models[0] if len(models) == 1 else FallbackModel(*models, fallback_on=_falls_over)


def _falls_over(error: Exception) -> bool:
    return isinstance(error, ModelQuotaExceededError) or classify(error).retryable


def cost(response: ModelResponse) -> Decimal | None:
    """USD, or None where nobody knows the price.

    A `price` of the document is in the response already (so Pydantic AI's `cost_limit` goes by it too); other
    responses are looked up in the public price list, as Pydantic AI does itself in a run.
    """
    if response.usage.cost is None and response.model_name:
        try:
            return response.cost().total_price
        except (LookupError, ValueError):
            return None
    return response.usage.cost


async def aclose(model: Model) -> None:
    """Closes the HTTP clients of `model`; it can still be used, and then opens new ones."""
    async with model:
        pass
