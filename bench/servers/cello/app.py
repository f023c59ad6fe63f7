"""One handler with a path parameter as a program of Cello."""

import os

from cello import App

app = App()


@app.get("/squares/{number}")
async def square(request):
    number = int(request.params["number"])
    return {"number": number, "square": number * number}


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["PORT"]), workers=1, logs=False)
