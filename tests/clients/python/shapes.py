"""What clients that know Pydantic ask with: a shape of data, and a tool in OpenAI's form."""

import pydantic
from capability import WEATHER_SCHEMA

WEATHER_TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather in a city.", "parameters": WEATHER_SCHEMA},
}


class City(pydantic.BaseModel):
    city: str
    inhabitants: int
