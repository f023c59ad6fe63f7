"""The command line: `serve`, `check`, `routes`, `plan`, `token`, `migrate`, `graph` and others.

Each command takes the studio where no application is named, or what `module:attribute` names: an
application, routes, or a function that makes one of them. Exit codes: 0 done, 1 failed, 2 refused
or wrong usage.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from nexus_gateway.compile.lint import DescriptionError
from nexus_gateway.server.settings import Loaded, Settings, SettingsError, load_with_origins
from nexus_gateway.server.user_errors import (
    UserError,
    describe,
    flush_output,
    import_attribute,
    open_standard_streams,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexus_gateway.compile.compiler import Compiled
    from nexus_gateway.server import Application
    from nexus_gateway.server.precedence import Effective
    from nexus_gateway.studio.knowledge_graph.maintenance import Verified

T = TypeVar("T")
LIFETIME_MAX_S = 100 * 366 * 86_400
"""Seconds that a token may be good for: a century."""

app = typer.Typer(
    help="An API gateway described in Python and executed by a native core.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
demo = typer.Typer(help="Fill a running gateway with real data.", no_args_is_help=True)
app.add_typer(demo, name="demo")
graph = typer.Typer(
    help="Verify, repair, export and import the graph; an embedded one while no gateway runs.",
    no_args_is_help=True,
)
app.add_typer(graph, name="graph")

Target = Annotated[
    str | None,
    typer.Argument(metavar="[MODULE:ATTRIBUTE]", help="What to use instead of the studio."),
]
Config = Annotated[
    Path | None,
    typer.Option(envvar="NEXUS_CONFIG", help="A TOML file; the environment wins over it."),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for scripts.")]


def main() -> None:
    """Run the command; what the user did wrong ends in a message and not in a traceback."""
    open_standard_streams()
    code = _run_command()
    failure = flush_output()
    if failure is not None:
        typer.echo(f"failed: the standard output cannot be written: {failure}", err=True)
        code = code or 1
    sys.exit(code)


def _run_command() -> int:  # noqa: PLR0911  # one for each kind of error
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except KeyboardInterrupt:
        return 130
    except UserError as error:
        return _said("refused", str(error), 2)
    except SettingsError as error:
        return _said("refused", str(error), 2)
    except UnicodeEncodeError:
        return _said("refused", "an argument has bytes that are not UTF-8", 2)
    except BrokenPipeError:
        return 1
    except OSError as error:
        reason = error.strerror or str(error)
        named = error.filename if error.filename is not None else "a file or stream"
        return _said("failed", f"{named}: {reason}", 1)
    return 0


def _said(word: str, message: str, code: int) -> int:
    typer.echo(f"{word}: {message}", err=True)
    return code


@app.command()
def serve(
    target: Target = None,
    *,
    config: Config = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="The port; 0 takes a free one.")
    ] = None,
) -> None:
    """Serve until SIGTERM, then finish what runs."""
    from nexus_gateway.server import ListenError, OutputError, Tls
    from nexus_gateway.server import serve as run
    from nexus_gateway.studio.storage.errors import StorageError

    loaded = _loaded(config)
    settings = loaded.settings
    application = _application(target, loaded).application
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        from nexus_gateway.server.start_check import tls_problems, tls_warnings

        wrong = "\n".join(tls_problems(settings))
        if wrong:
            _refuse(wrong)
        for warning in tls_warnings(settings):
            typer.echo(f"warning: {warning}", err=True)
        tls = Tls(settings.tls_cert, settings.tls_key)
    scope = "'*'" if target is None else "..."
    hint = f"a token: nexus-gateway token --sub alice --scope {scope}"
    if settings.jwt_secret is None and settings.jwt_public_key_file is not None:
        hint = f"tokens are verified with the keys in {settings.jwt_public_key_file}"
    try:
        run(
            application,
            host=settings.host if host is None else host,
            port=settings.port if port is None else port,
            threads=settings.threads,
            tls=tls,
            grace=settings.shutdown_grace,
            eager=settings.eager,
            hint=hint,
        )
    except (ListenError, OutputError, StorageError) as error:
        _fail(str(error))
    except DescriptionError as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        raise
    except (SystemExit, Exception) as error:
        if target is None and not isinstance(error, (ValueError, OSError, SystemExit)):
            raise
        # What the lifespan raised; of the core's own messages there is no line.
        message = describe(error).removeprefix("ValueError: ").removeprefix("TypeError: ")
        _fail(message) if isinstance(error, (SystemExit, OSError)) else _refuse(message)


@app.command()
def check(
    target: Target = None,
    *,
    config: Config = None,
    strict: Annotated[bool, typer.Option(help="Refuse warnings too.")] = False,
    as_json: Json = False,
) -> None:
    """Verify settings, handlers, routes and plan without serving."""
    from nexus_gateway.compile.lint import check as check_routes
    from nexus_gateway.server import Server
    from nexus_gateway.server.start_check import problems, rows, warnings, without_new_secrets

    loaded = _loaded(config)
    at_start = list(warnings(loaded.settings))
    for warning in at_start:
        typer.echo(f"warning: {warning}", err=True)
    unwritten = Loaded(without_new_secrets(loaded.settings), loaded.origins)
    application, of_code = _application(target, unwritten)
    findings = check_routes(application.routes).lints
    refused = any(strict or finding.level == "error" for finding in findings)
    # What is wrong with the routes is reported above; the rest is whether the core takes the plan.
    error = None if refused else _checked(lambda: Server(application))
    wrong = [*([] if error is None else [error]), *problems(loaded, studio=target is None)]
    problem = "\n".join(wrong) or None
    effective = rows(loaded, of_code)
    if as_json:
        found = [{"level": f.level, "route": f.route, "message": f.message} for f in findings]
        report = {
            "ok": not refused and problem is None,
            "error": problem,
            "findings": found,
            "warnings": [*loaded.warnings, *at_start],
            "settings": {row.name: {"value": row.value, "origin": row.origin} for row in effective},
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.level}: {finding.route}: {finding.message}")
        if not refused and problem is None:
            typer.echo(f"ok: {len(application.routes.routes)} routes")
        for row in effective:
            typer.echo(f"{row.name} = {row.value}  ({row.origin})")
    if problem is not None:
        _refuse(problem)
    if refused:
        raise typer.Exit(2)


def _checked(verify: Callable[[], object]) -> str | None:
    try:
        verify()
    except (TypeError, ValueError) as error:
        return str(error)
    return None


@app.command()
def routes(target: Target = None, *, config: Config = None, as_json: Json = False) -> None:
    """Print the table of routes with their filters."""
    from nexus_gateway.compile.format_plan import describe

    compiled = _compiled(_application(target, _loaded(config)).application)
    rows = [
        (",".join(route.methods) or "*", route.path, describe(route))
        for route in compiled.plan.routes
    ]
    if as_json:
        keys = ("methods", "path", "chain")
        typer.echo(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
        return
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for methods, path, chain in rows:
        typer.echo(f"{methods:{widths[0]}}  {path:{widths[1]}}  {chain}")


@app.command()
def plan(target: Target = None, *, config: Config = None) -> None:
    """Print the plan that the core executes, as JSON; it holds no secret."""
    compiled = _compiled(_application(target, _loaded(config)).application)
    typer.echo(compiled.plan.to_json().decode())


@app.command()
def token(
    *,
    sub: Annotated[str, typer.Option(help="Who the token is for.")],
    scope: Annotated[list[str] | None, typer.Option(help="A scope; may be repeated.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The claim `tenant`.")] = None,
    lifetime: Annotated[
        int, typer.Option(min=1, max=LIFETIME_MAX_S, help="Seconds until it expires.")
    ] = 3600,
    config: Config = None,
) -> None:
    """Print a token signed with the gateway's secret."""
    from nexus_gateway.server.tokens import mint

    for name, text in (
        ("--sub", sub),
        ("--tenant", tenant or ""),
        *(("--scope", one) for one in scope or []),
    ):
        _check_text(name, text)
    settings = _settings(config)
    made = settings.makes_secret()
    try:
        secret = settings.secret()
    except SettingsError as error:
        _refuse(str(error))
    if secret is None:
        _refuse("this gateway verifies tokens with a public key: its owner signs them")
    if made is not None:
        typer.echo(
            f"note: no secret was found in NEXUS_JWT_SECRET, a settings file, or {made}; a new one "
            "was made there. A gateway with another data folder refuses this token: call this in "
            "its folder, or with its NEXUS_DATA_DIR or --config",
            err=True,
        )
    typer.echo(
        mint(
            secret,
            sub,
            [word for given in scope or [] for word in given.split()],
            lifetime,
            tenant=tenant,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            algorithm=settings.hmac_algorithm(),
        )
    )


@app.command()
def migrate(
    direction: Annotated[str, typer.Argument(help="`status`, `up` or `down`.")] = "up",
    *,
    config: Config = None,
    to: Annotated[
        int | None, typer.Option(min=0, help="The migration to go to; down to 0 is empty.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete data without asking.")] = False,
) -> None:
    """Bring the database's tables up to date, or back; a way back deletes data, and asks first."""
    from nexus_gateway.studio.engines import migrate_database, planned_migrations
    from nexus_gateway.studio.storage.errors import StorageError, UnknownMigration

    settings = _settings(config)
    if direction not in {"status", "up", "down"}:
        _refuse(f"migrate takes status, up or down, found {direction!r}")
    try:
        if direction != "status":
            planned = planned_migrations(settings, "up" if direction == "up" else "down", to)
            if direction == "down" and planned and not yes:
                _confirm_loss(planned)
        elif to is not None:
            _refuse("migrate status takes no --to")
        lines = migrate_database(settings, direction, to)
    except UnknownMigration as error:
        _refuse(str(error))
    except StorageError as error:
        _fail(str(error))
    except SettingsError as error:
        _refuse(str(error))
    for line in lines:
        typer.echo(line)


def _confirm_loss(planned: list[str]) -> None:
    """Ask before a downgrade; without a terminal there is nobody to ask, so it is refused."""
    typer.echo(f"this deletes the tables and columns of {', '.join(planned)}", err=True)
    if not sys.stdin.isatty():
        _refuse("a downgrade deletes data: back up the database, then repeat it with --yes")
    if not typer.confirm("delete them with their data?", err=True):
        _refuse("nothing was changed")


@graph.command("verify")
def graph_verify(*, config: Config = None, as_json: Json = False) -> None:
    """Count what each tenant has, and find what is wrong; exit code 1 where something is."""
    from nexus_gateway.studio import graph_command

    verified = _maintained(lambda: graph_command.verify(_settings(config)))
    _report_graph(verified, as_json=as_json, done={})


@graph.command("repair")
def graph_repair(*, config: Config = None, as_json: Json = False) -> None:
    """Repair what can be, and make the nodes of entities again; 1 where something is left."""
    from nexus_gateway.studio import graph_command

    repaired, entities, verified = _maintained(lambda: graph_command.repair(_settings(config)))
    done: dict[str, object] = {"repaired": dict(repaired), "entities": entities}
    _report_graph(verified, as_json=as_json, done=done)


@graph.command("export")
def graph_export(file: Annotated[Path, typer.Argument()], *, config: Config = None) -> None:
    """Write the whole graph into a file as NDJSON, which `import` reads into either engine."""
    from nexus_gateway.studio import graph_command

    def run() -> int:
        with file.open("wb") as opened:
            return graph_command.export(_settings(config), opened)

    typer.echo(f"{_maintained(run)} lines exported")


@graph.command("import")
def graph_import(
    file: Annotated[Path, typer.Argument()], *, config: Config = None, as_json: Json = False
) -> None:
    """Read an export; what exists already stays as it is."""
    from nexus_gateway.studio import graph_command

    def run() -> dict[str, int]:
        with file.open("rb") as opened:
            return dict(graph_command.load(_settings(config), opened))

    made = _maintained(run)
    text = ", ".join(f"{count} {kind}" for kind, count in sorted(made.items())) or "nothing"
    typer.echo(json.dumps(made) if as_json else f"imported {text}")


@graph.command("replay")
def graph_replay(*, config: Config = None, as_json: Json = False) -> None:
    """Have the gateway carry the changes again that the graph or another sink refused."""
    from nexus_gateway.studio import graph_command

    count = _maintained(lambda: graph_command.replay(_settings(config)))
    typer.echo(json.dumps({"replayed": count}) if as_json else f"{count} changes are replayed")


def _maintained(run: Callable[[], T]) -> T:
    from nexus_gateway.studio.storage.errors import StorageError

    try:
        return run()
    except (StorageError, SettingsError, ValueError) as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.filename or 'the file'}: {error.strerror or error}")


def _report_graph(verified: Verified, *, as_json: bool, done: dict[str, object]) -> None:
    import msgspec

    if as_json:
        whole: dict[str, object] = {**msgspec.to_builtins(verified), **done}
        typer.echo(json.dumps({"ok": not verified.faults, **whole}, indent=2))
    else:
        for name, value in done.items():
            typer.echo(f"{name}: {value or 'nothing'}")
        for tenant, counts in verified.tenants.items():
            typer.echo(
                f"{tenant}: {counts.nodes} nodes, {counts.edges} edges, {counts.versions} versions,"
                f" {counts.aliases} aliases"
            )
        for fault in verified.faults:
            typer.echo(f"{fault.kind}: tenant {fault.tenant!r}: {fault.subject}", err=True)
    if verified.faults:
        raise typer.Exit(1)


@app.command("import")
def import_entities(
    file: Annotated[Path, typer.Argument(help="NDJSON: an entity in each line.")],
    *,
    url: Annotated[str, typer.Option(help="The gateway.")] = "http://127.0.0.1:8000",
    bearer: Annotated[str | None, typer.Option("--token", help="Else one is made.")] = None,
    config: Config = None,
) -> None:
    """Create or replace entities from a file through the HTTP API."""
    from nexus_gateway.studio.demo import DemoError, import_file

    _check_target(url, bearer)
    try:
        refused = import_file(file, url=url, token=bearer, settings=_settings(config))
    except DemoError as error:
        _fail(str(error))
    if refused:
        raise typer.Exit(1)


@demo.command("load")
def demo_load(
    source: Annotated[str, typer.Argument(help="`debian` or `python`.")],
    *,
    url: Annotated[str, typer.Option(help="The gateway.")] = "http://127.0.0.1:8000",
    bearer: Annotated[str | None, typer.Option("--token", help="Else one is made.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many entities.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose they shall be.")] = None,
    config: Config = None,
) -> None:
    """Load real entities, and of Debian the graph of its packages, through the HTTP API."""
    from nexus_gateway.studio.demo import DemoError, load_source

    _check_target(url, bearer)
    _check_text("--tenant", tenant or "")
    try:
        load_source(
            source, url=url, token=bearer, limit=limit, settings=_settings(config), tenant=tenant
        )
    except DemoError as error:
        _fail(str(error))


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(f"{name}: expected UTF-8, found bytes that are not: {text!r}")


def _check_target(url: str, bearer: str | None) -> None:
    """Refuse a URL or a token that no request can be made with."""
    from urllib.parse import urlsplit

    from nexus_gateway.values.credentials import check_token, redacted

    _check_text("--url", url)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as error:
        _refuse(f"--url: {redacted(url)!r} is no URL: {redacted(str(error))}")
    if not usable or not url.isprintable() or " " in url:
        _refuse(f"--url: expected http://host:port or https://..., found {redacted(url)!r}")
    if bearer is not None:
        try:
            check_token(bearer)
        except ValueError as error:
            _refuse(f"--token: {error}")


def _settings(config: Path | None) -> Settings:
    return _loaded(config).settings


def _loaded(config: Path | None) -> Loaded:
    try:
        loaded = load_with_origins(config)
    except SettingsError as error:
        _refuse(str(error))
    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    return loaded


def _application(target: str | None, loaded: Loaded) -> Effective:
    from nexus_gateway.server.precedence import Effective, with_settings

    try:
        if target is None:
            from nexus_gateway.studio.app import compose

            return Effective(compose(loaded.settings), {})
        return with_settings(_imported(target), loaded)
    except (SettingsError, TypeError) as error:
        _refuse(str(error))


def _imported(target: str) -> Application:
    from nexus_gateway.describe.route import Route, Routes
    from nexus_gateway.server import Application, as_application

    found = import_attribute(target)
    if callable(found):
        try:
            found = found()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise UserError(f"{target}: {describe(error)}") from error
    if not isinstance(found, Application | Routes | Route):
        _refuse(f"{target} is a {type(found).__qualname__}, not an application or routes")
    return as_application(found)


def _compiled(application: Application) -> Compiled:
    try:
        return application.compile()
    except (TypeError, ValueError) as error:
        _refuse(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"failed: {message}", err=True)
    raise typer.Exit(1)


def _refuse(message: str) -> NoReturn:
    typer.echo(f"refused: {message}", err=True)
    raise typer.Exit(2)
