"""One handler with a path parameter as a program of Robyn."""

import os

from robyn import Request, Robyn

app = Robyn(__file__)


@app.get("/squares/:number")
async def square(request: Request):
    number = int(request.path_params["number"])
    return {"number": number, "square": number * number}


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(os.environ["PORT"]), _check_port=False)
