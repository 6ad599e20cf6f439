@echo off
rem Runs the coze-workflow for Windows, which is in ..\bin:
rem   "{baseDir}\scripts\coze-workflow.cmd" -w 7xxxxxxxxxxxxxxxxxx -p input=hello
rem Where it is missing, answers with exit code 3 as the program itself would.
setlocal
set "program=%~dp0..\bin\coze-workflow-x86_64-windows.exe"
if exist "%program%" "%program%" %*
if exist "%program%" exit /b %errorlevel%
set "shown=%program:\=\\%"
echo {"execute_id":"","status":"Fail","output":"","debug_url":"","error":{"kind":"config","message":"there is no program for Windows: %shown%","hint":"build one from the source with make static OS=windows, and put it there"}}
echo coze-workflow: config: there is no program for Windows: %program% 1>&2
exit /b 3
